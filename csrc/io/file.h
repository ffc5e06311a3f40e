// Files as this room needs them: reading at an offset, and writing that replaces the target in one
// step. Errors are FileError, "operation: path: cause". Knows no format.
#pragma once

#include <cstdint>
#include <string>

namespace tapegrad::io {

class InputFile {
 public:
  InputFile(const char* op, const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  int64_t size() const { return size_; }
  /// The path as error messages show it.
  const std::string& shown_path() const { return shown_; }
  /// Throws FileError when the file ends before.
  void read(int64_t offset, void* to, int64_t bytes) const;
  [[noreturn]] void fail(const std::string& cause) const;

 private:
  const char* op_;
  std::string shown_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

/// Writes to a temporary file beside the target; commit() makes it the target. Without commit()
/// nothing remains, even of a process that is killed, where the file system has files without name.
class AtomicFile {
 public:
  AtomicFile(const char* op, const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, int64_t bytes);
  /// On disk, under its name.
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int error) const;
  void resolve_target(const std::string& path);
  bool open_unnamed();
  void open_named();
  void give_name();
  std::string fresh_name() const;
  void flush();
  void write_out(const char* data, int64_t bytes);

  const char* op_;
  std::string shown_;
  std::string target_;     // links resolved
  std::string directory_;  // the target's
  std::string temporary_;  // empty when there is none to remove, or it has no name yet
  unsigned mode_ = 0;      // of the file that is replaced; 0 for a new one
  int descriptor_ = -1;
  std::string buffer_;
};

}  // namespace tapegrad::io
