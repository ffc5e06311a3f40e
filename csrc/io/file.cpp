#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "core/text.h"
#include "io/json.h"
#include "tapegrad/error.h"

namespace tapegrad::io {
namespace {

constexpr int64_t kMostAtOnce = int64_t{1} << 30;  // one read() or write() takes at most 2^31 bytes
constexpr int kMostAttempts = 1000;
constexpr size_t kBufferBytes = size_t{1} << 18;

std::string error_text(int error) { return std::generic_category().message(error); }

/// The path for messages: without quotes, as other tools show it.
std::string path_text(const std::string& path) {
  const std::string quoted = shown(path);
  return quoted.substr(1, quoted.size() - 2);
}

void check_no_nul(const char* op, const std::string& path) {
  if (path.find('\0') == std::string::npos) return;
  throw FileError(core::text(op, ": ", path_text(path), ": a path cannot hold a null character"));
}

}  // namespace

InputFile::InputFile(const char* op, const std::string& path) : op_(op), shown_(path_text(path)) {
  check_no_nul(op, path);
  // Non-blocking: a pipe without a writer would hang the open.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail("cannot open: " + error_text(errno));
  struct stat status;
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail("not a regular file");
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::fail(const std::string& cause) const {
  throw FileError(core::text(op_, ": ", shown_, ": ", cause));
}

void InputFile::read(int64_t offset, void* to, int64_t bytes) const {
  auto* out = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, out, static_cast<size_t>(std::min(bytes, kMostAtOnce)),
                                static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read: " + error_text(errno));
    if (got == 0) fail("the file ended while it was read");
    out += got;
    offset += got;
    bytes -= got;
  }
}

AtomicFile::AtomicFile(const char* op, const std::string& path) : op_(op), shown_(path_text(path)) {
  check_no_nul(op, path);
  resolve_target(path);
  // Beside the target, because a rename does not cross file systems.
  const size_t slash = target_.find_last_of('/');
  directory_ = slash == std::string::npos ? "./" : target_.substr(0, slash + 1);
  if (!open_unnamed()) open_named();
  // A replaced file keeps its permissions; where that is not allowed, the new one has its own.
  if (mode_ != 0 && ::fchmod(descriptor_, mode_) != 0) mode_ = 0;
}

std::string AtomicFile::fresh_name() const {
  static std::atomic<unsigned> count{0};
  return core::text(directory_, ".tapegrad-", ::getpid(), "-", ++count, ".tmp");
}

/// A file that vanishes with its last descriptor. Not all file systems have them.
bool AtomicFile::open_unnamed() {
#ifdef O_TMPFILE
  descriptor_ = ::open(directory_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
  return descriptor_ >= 0;
}

void AtomicFile::open_named() {
  for (int attempt = 0;; ++attempt) {
    temporary_ = fresh_name();
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    const int error = errno;
    if (error != EEXIST || attempt == kMostAttempts) {
      temporary_.clear();
      fail("cannot create a file there", error);
    }
  }
}

/// A link cannot replace a file, so the unnamed one gets a name of its own to be renamed.
void AtomicFile::give_name() {
  const std::string open_file = core::text("/proc/self/fd/", descriptor_);
  for (int attempt = 0;; ++attempt) {
    std::string name = fresh_name();
    if (::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      temporary_ = std::move(name);
      return;
    }
    if (errno != EEXIST || attempt == kMostAttempts) fail("cannot create a file there", errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int error) const {
  throw FileError(core::text(op_, ": ", shown_, ": ", what, ": ", error_text(error)));
}

void AtomicFile::resolve_target(const std::string& path) {
  target_ = path;
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return;
  if (!S_ISREG(status.st_mode)) {
    throw FileError(core::text(op_, ": ", shown_, ": exists and is not a regular file"));
  }
  mode_ = status.st_mode & 07777;
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (real) target_ = real.get();
}

void AtomicFile::write(const void* data, int64_t bytes) {
  const auto* from = static_cast<const char*>(data);
  if (static_cast<size_t>(bytes) >= kBufferBytes) {
    flush();
    write_out(from, bytes);
    return;
  }
  buffer_.append(from, static_cast<size_t>(bytes));
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  write_out(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  buffer_.clear();
}

void AtomicFile::write_out(const char* data, int64_t bytes) {
  while (bytes > 0) {
    const ssize_t put =
        ::write(descriptor_, data, static_cast<size_t>(std::min(bytes, kMostAtOnce)));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write", errno);
    data += put;
    bytes -= put;
  }
}

void AtomicFile::commit() {
  flush();
  if (::fsync(descriptor_) != 0) fail("cannot write to disk", errno);
  if (temporary_.empty()) give_name();
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail("cannot close", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot replace the file", errno);
  temporary_.clear();
  // The new name must be on disk too; not all file systems can say so, and the data is safe.
  const int descriptor = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace tapegrad::io
