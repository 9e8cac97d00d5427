// SPDX-License-Identifier: Apache-2.0
// One mutex a key: threads that want different things go on side by side, those that want the same
// wait for each other.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

namespace tokamak::device::cuda {

class KeyedMutex {
 public:
  /// Holds the key's mutex while it lives.
  class Lock {
   public:
    Lock(KeyedMutex& keys, const std::string& key) : keys_(keys) {
      std::unique_lock lock(keys_.mutex_);
      keys_.released_.wait(lock, [&] { return !keys_.held_.contains(key); });
      held_ = keys_.held_.insert(key).first;
    }
    ~Lock() {
      {
        std::lock_guard lock(keys_.mutex_);
        keys_.held_.erase(held_);
      }
      keys_.released_.notify_all();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    KeyedMutex& keys_;
    std::set<std::string>::iterator held_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  std::set<std::string> held_;
};

}  // namespace tokamak::device::cuda
