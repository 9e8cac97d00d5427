// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/file.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tokamak::base {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  int close() {
    int fd = std::exchange(fd_, -1);
    return ::close(fd);
  }

 private:
  int fd_;
};

Error system_error(std::string_view action, const std::filesystem::path& path, int code) {
  std::string message = fmt::format("cannot {} {}: {}", action, path.string(), std::strerror(code));
  if (code == ENOENT || code == ENOTDIR) return not_found(std::move(message));
  if (code == ENOSPC || code == EDQUOT)
    return io_error(std::move(message), "free some space or choose another folder");
  if (code == EACCES || code == EROFS || code == EPERM) {
    return io_error(std::move(message),
                    "choose a folder that this user may write to, or change its permissions");
  }
  return io_error(std::move(message));
}

Result<void> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error("write", path, errno);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

std::string_view kind_name(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// A regular file open for reading, and what the system says of it. Opening does not wait for
/// somebody at the other end of a pipe.
Result<int> open_regular(const std::filesystem::path& path, struct stat& info) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return system_error("open", path, errno);
  if (::fstat(file.get(), &info) != 0) return system_error("read", path, errno);
  if (!S_ISREG(info.st_mode))
    return invalid(
        fmt::format("{} is {}, expected a regular file", path.string(), kind_name(info.st_mode)));
  return file.release();
}

constexpr std::string_view kTemporary = ".tmp.";
constexpr auto kStaleAfter = std::chrono::hours(1);

std::filesystem::path temporary_of(const std::filesystem::path& path) {
  std::random_device random;
  std::filesystem::path out = path;
  out += fmt::format("{}{:08x}{:08x}", kTemporary, random(), random());
  return out;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Of writes of `path` that were killed. What cannot be removed stays.
void sweep_temporaries(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + std::string(kTemporary);
  const auto now = std::filesystem::file_time_type::clock::now();
  std::error_code code;
  for (std::filesystem::directory_iterator it(folder_of(path), code), end; !code && it != end;
       it.increment(code)) {
    if (!it->path().filename().string().starts_with(prefix)) continue;
    std::error_code ignored;
    const auto written = it->last_write_time(ignored);
    if (!ignored && now - written > kStaleAfter) std::filesystem::remove(it->path(), ignored);
  }
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  struct stat info {};
  TKM_ASSIGN(int descriptor, open_regular(path, info));
  Descriptor file(descriptor);
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read", path, errno);
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    if (content.size() > max_bytes) {
      return invalid(fmt::format("{} is larger than {} bytes", path.string(), max_bytes));
    }
  }
}

Result<void> write_file_atomic(const std::filesystem::path& path,
                               std::span<const std::string_view> parts) {
  sweep_temporaries(path);
  const std::filesystem::path temporary = temporary_of(path);
  auto write = [&]() -> Result<void> {
    Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (file.get() < 0) return system_error("create", temporary, errno);
    for (std::string_view part : parts) TKM_RETURN_IF_ERROR(write_all(file.get(), part, temporary));
    if (::fsync(file.get()) != 0) return system_error("write", temporary, errno);
    if (file.close() != 0) return system_error("write", temporary, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      return system_error("rename to", path, errno);
    return {};
  };
  if (auto written = write(); !written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  Descriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
  return {};
}

Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  return write_file_atomic(path, std::span(&content, 1));
}

Result<void> make_folders(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return system_error("create the folder", path, code.value());
  return {};
}

std::filesystem::path cache_folder() {
  if (const char* folder = std::getenv("TOKAMAK_CACHE_DIR"); folder && *folder) return folder;
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder)
    return std::filesystem::path(folder) / "tokamak";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && *home ? home : "/tmp") / ".cache" / "tokamak";
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  struct stat info {};
  TKM_ASSIGN(int descriptor, open_regular(path, info));
  Descriptor file(descriptor);
  MappedFile mapped;
  mapped.path_ = path;
  mapped.size_ = static_cast<size_t>(info.st_size);
  if (mapped.size_ == 0) return mapped;
  void* data = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return system_error("map", path, errno);
  mapped.data_ = static_cast<const std::byte*>(data);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(size_t offset, size_t length) const {
  if (!data_ || offset >= size_) return;
  size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  size_t begin = offset / page * page;
  size_t end = std::min(size_, offset + length);
  ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace tokamak::base
