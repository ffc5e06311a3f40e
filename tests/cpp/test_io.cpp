// safetensors files: what is written comes back, the bytes are those of the format, and no header,
// however mutilated, does anything but load or raise a FileError that names file, tensor and cause.
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "check.h"
#include "core/tensor_impl.h"
#include "io/json.h"
#include "io/safetensors_header.h"
#include "tapegrad/error.h"
#include "tapegrad/io.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;
namespace fs = std::filesystem;

/// A directory of its own, removed at the end.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("tapegrad_io_" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directory(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  int64_t file_count() const {
    return std::distance(fs::directory_iterator(path_), fs::directory_iterator());
  }

 private:
  fs::path path_;
};

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string with_length(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string prefix(8, '\0');
  std::memcpy(prefix.data(), &length, 8);
  return prefix + header + data;
}
bool same_bytes(const Tensor& a, const Tensor& b) {
  const Tensor x = contiguous(a), y = contiguous(b);
  return x.dtype() == y.dtype() && x.sizes() == y.sizes() &&
         (x.numel() == 0 ||
          std::memcmp(x.data(), y.data(), static_cast<size_t>(x.numel()) * item_size(x.dtype())) ==
              0);
}

TEST(every_dtype_layout_and_shape_comes_back) {
  const Folder folder;
  NamedTensors tensors;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string name = dtype_name(dtype);
    const Tensor matrix = to(view(arange(0, 6), {2, 3}), dtype);
    tensors.emplace_back(name, matrix);
    tensors.emplace_back(name + ".transposed", transpose(matrix, 0, 1));
    tensors.emplace_back(name + ".gaps", slice(to(arange(0, 10), dtype), 0, 1, std::nullopt, 3));
    tensors.emplace_back(name + ".expanded", expand(to(arange(0, 2), dtype), {3, 2}));
    tensors.emplace_back(name + ".scalar", select(select(matrix, 0, 1), 0, 1));
    tensors.emplace_back(name + ".empty", zeros({0, 3}, dtype));
  }
  tensors.emplace_back("large", rand({300, 1000}));
  const Metadata metadata = {{"format", "pt"}, {"quote \" and \n", "\xc3\xbc \xf0\x9f\x98\x80"}};
  save_safetensors(tensors, folder / "all", metadata);
  const SafetensorsFile file = load_safetensors(folder / "all");
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    CHECK_EQ(file.tensors[i].first, tensors[i].first);
    CHECK(same_bytes(file.tensors[i].second, tensors[i].second));
  }
  CHECK(same_bytes(file.at("large"), tensors.back().second));
  CHECK_THROWS(ValueError, "no tensor 'small'", file.at("small"));
  CHECK_EQ(folder.file_count(), 1);
}

TEST(the_bytes_are_those_of_the_format) {
  const Folder folder;
  save_safetensors(
      {{"flag", to(arange(0, 2), DType::Bool)}, {"x", from_values<float>({1, 2}, {2, 1})}},
      folder / "f", {{"a", "b"}});
  std::string header =
      R"({"__metadata__":{"a":"b"},"flag":{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]},)"
      R"("x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK_EQ(read_bytes(folder / "f"),
           with_length(header, std::string("\0\0\x80\x3f\0\0\0\x40\0\x01", 10)));
  save_safetensors({}, folder / "f");
  CHECK_EQ(read_bytes(folder / "f"), with_length("{}      "));
  CHECK(load_safetensors(folder / "f").tensors.empty());
}

TEST(a_tensor_on_the_tape_is_written_by_its_values) {
  const Folder folder;
  Tensor w = ones({2});
  w.set_requires_grad(true);
  save_safetensors({{"y", w * Scalar(3)}}, folder / "f");
  const Tensor loaded = load_safetensors(folder / "f").at("y");
  CHECK(!loaded.requires_grad());
  CHECK_EQ(loaded.data_ptr<float>()[1], 3.0F);
}

TEST(names_that_the_format_cannot_hold_are_refused) {
  const Folder folder;
  const Tensor x = ones({1});
  const std::string path = folder / "f";
  write_bytes(path, "before");
  CHECK_THROWS(ValueError, "'x' is given twice", save_safetensors({{"x", x}, {"x", x}}, path));
  CHECK_THROWS(ValueError, "reserved", save_safetensors({{"__metadata__", x}}, path));
  CHECK_THROWS(ValueError, "not valid UTF-8", save_safetensors({{"\xff", x}}, path));
  CHECK_THROWS(ValueError, "undefined", save_safetensors({{"x", Tensor()}}, path));
  CHECK_THROWS(ValueError, "metadata entry", save_safetensors({{"x", x}}, path, {{"k", "\xc0"}}));
  CHECK_EQ(read_bytes(path), "before");
  CHECK_EQ(folder.file_count(), 1);
}

TEST(a_file_is_replaced_in_one_step_and_keeps_links_and_permissions) {
  const Folder folder;
  const std::string target = folder / "target", link = folder / "link";
  write_bytes(target, "before");
  ::chmod(target.c_str(), 0640);
  fs::create_symlink(target, link);
  save_safetensors({{"x", ones({3})}}, link);
  CHECK(fs::is_symlink(link));
  CHECK_EQ(load_safetensors(target).at("x").numel(), 3);
  struct stat status;
  REQUIRE(::stat(target.c_str(), &status) == 0);
  CHECK_EQ(status.st_mode & 0777, 0640u);
  CHECK_EQ(folder.file_count(), 2);
}

TEST(files_that_cannot_be_opened_or_made_are_named) {
  const Folder folder;
  const Tensor x = ones({1});
  CHECK_THROWS(FileError, "nothing: cannot open: No such file",
               load_safetensors(folder / "nothing"));
  CHECK_THROWS(FileError, "not a regular file", load_safetensors(folder / ""));
  CHECK_THROWS(FileError, "not a regular file", save_safetensors({{"x", x}}, folder / ""));
  CHECK_THROWS(FileError, "No such file or directory",
               save_safetensors({{"x", x}}, folder / "missing/f"));
  CHECK_THROWS(FileError, "null character", load_safetensors(std::string("a\0b", 3)));
}

TEST(truncated_and_padded_files_are_named) {
  const Folder folder;
  const std::string path = folder / "weights";
  save_safetensors({{"w", ones({10})}, {"mask", to(ones({3}), DType::Bool)}}, path);
  const std::string whole = read_bytes(path);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    write_bytes(path, whole.substr(0, cut));
    CHECK_THROWS(FileError, "weights: ", load_safetensors(path));
  }
  write_bytes(path, whole + "x");
  CHECK_THROWS(FileError, "the tensors end at byte 43, but the file has 44",
               load_safetensors(path));
  std::string bad = whole;
  bad.back() = 2;
  write_bytes(path, bad);
  CHECK_THROWS(FileError, "tensor 'mask': element 2 is 2", load_safetensors(path));
  write_bytes(path, std::string(8, '\xff') + whole.substr(8));
  CHECK_THROWS(FileError, "announce a header of 18446744073709551615 bytes",
               load_safetensors(path));
}

TEST(every_defect_of_a_header_is_found_and_named) {
  struct Defect {
    const char* header;
    const char* message;
  };
  const Defect defects[] = {
      {"", "does not begin with '{'"},
      {" {}", "does not begin with '{'"},
      {"[]", "does not begin with '{'"},
      {"{", "expected '\"'"},
      {"{} x", "after the end"},
      {"{}{}", "after the end"},
      {R"({"a":1})", "tensor 'a': expected '{'"},
      {R"({"a":{}})", "tensor 'a': the key 'dtype' is missing"},
      {R"({"a":{"dtype":"F32"}})", "'shape' is missing"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", "'data_offsets' is missing"},
      {R"({"a":{"dtype":"F32","dtype":"F32"}})", "the key 'dtype' appears twice"},
      {R"({"a":{"dtype":"F32","extra":1}})", "unknown key 'extra'"},
      {R"({"a":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}})", "dtype 'U32' is not supported"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],}})", "a comma without a value"},
      {R"({"a":{"dtype":"F32","shape":[2,],"data_offsets":[0,8]}})", "a comma without a value"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},})", "a comma without a value"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "not negative"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "not whole"},
      {R"({"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}})", "not whole"},
      {R"({"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}})", "begins with 0"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})", "2^63"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
       "span 4 bytes, but F32 of shape (2,) takes 8"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", "do not lie in the 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "do not lie in"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "must be two numbers"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "more than 2 numbers"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
       "more bytes than a file can hold"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})",
       "more bytes than a file can hold"},
      {R"({"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}})",
       "more bytes than a file can hold"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "overlaps another tensor"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "leaves a hole after byte 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       "end at byte 4, but the file has 8"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "'a' appears twice"},
      {R"({"__metadata__":{"k":1}})", "__metadata__: expected '\"'"},
      {R"({"__metadata__":{"k":"v","k":"v"}})", "the key 'k' appears twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "'__metadata__' appears twice"},
      {"{\"a\n\":{}}", "control character"},
      {"{\"a\xff\":{}}", "invalid UTF-8"},
      {"{\"\xed\xa0\x80\":{}}", "invalid UTF-8"},
      {R"({"a\x":{}})", "unknown escape"},
      {R"({"\u12g4":{}})", "without four digits"},
      {R"({"\ud800":{}})", "surrogate"},
      {R"({"\udc00":{}})", "surrogate"},
      {R"({"\ud800\u0041":{}})", "surrogate"},
      {R"({"a)", "a string without an end"},
  };
  for (const Defect& defect : defects) {
    CHECK_THROWS(FileError,
                 "load_safetensors: some/path: ", io::parse_header(defect.header, 8, "some/path"));
    CHECK_THROWS(FileError, defect.message, io::parse_header(defect.header, 8, "some/path"));
  }
  std::string deep = R"({"a":{"dtype":"F32","shape":[)";
  for (int i = 0; i < 40; ++i) deep += "1,";
  CHECK_THROWS(FileError, "shape has more than 32 numbers", io::parse_header(deep + "2]", 8, "f"));
}

TEST(what_the_format_allows_is_read) {
  const io::Header header = io::parse_header(
      "{ \"\\u0061\\ud83d\\ude00\\n\" :\t{\"data_offsets\":[0, 8],\"shape\":[ ],\"dtype\":\"I64\"},"
      "\"none\":{\"dtype\":\"F16\",\"shape\":[0,3],\"data_offsets\":[8,8]}}  \n",
      8, "f");
  REQUIRE(header.records.size() == 2);
  CHECK_EQ(header.records[0].name, "a\xf0\x9f\x98\x80\n");
  CHECK(header.records[0].shape.empty());
  CHECK(header.records[0].dtype == DType::Int64);
  CHECK_EQ(header.records[1].begin, 8);
}

/// Random numbers that are the same at every run.
class Dice {
 public:
  size_t below(size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state_ >> 33) % n;
  }

 private:
  uint64_t state_ = 1;
};

TEST(mutated_headers_load_or_raise_and_nothing_else) {
  const std::string good =
      R"({"__metadata__":{"k":"v\u00fc"},"a.b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("c":{"dtype":"I64","shape":[],"data_offsets":[24,32]},)"
      R"("d":{"dtype":"BOOL","shape":[0],"data_offsets":[32,32]}}  )";
  const std::vector<std::string> pieces = {
      "{",    "}",    "[",   "]",  ",",  ":",       "\"",        "\\", "0",  "-1",  "1e9",
      "null", "\xff", "\\u", "99", "32", "\"F64\"", "\"shape\"", " ",  "\n", "true"};
  Dice dice;
  int loaded = 0, refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (size_t edits = 1 + dice.below(3); edits > 0; --edits) {
      const size_t at = dice.below(text.size());
      switch (dice.below(5)) {
        case 0:
          text[at] = static_cast<char>(dice.below(256));
          break;
        case 1:
          text.erase(at, 1 + dice.below(8));
          break;
        case 2:
          text.insert(at, pieces[dice.below(pieces.size())]);
          break;
        case 3:
          text.insert(at, text.substr(dice.below(text.size()), dice.below(40)));
          break;
        default:
          text.resize(at);
          break;
      }
      if (text.empty()) break;
    }
    try {
      const io::Header header = io::parse_header(text, 32, "f");
      int64_t bytes = 0;
      for (const io::TensorRecord& record : header.records) bytes += record.end - record.begin;
      CHECK_EQ(bytes, 32);
      ++loaded;
    } catch (const FileError& error) {
      const std::string message = error.what();
      if (!io::is_utf8(message)) CHECK_EQ(message, "valid UTF-8");
      ++refused;
    }
  }
  CHECK_LT(50, loaded);
  CHECK_LT(10000, refused);
}

}  // namespace
