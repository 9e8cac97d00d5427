// SPDX-License-Identifier: Apache-2.0
// Runs one problem through every tactic and every configuration that claims it, on every target
// that this machine has, against the op's reference. Used by the conformance tests only.
//
// Each buffer lies between guard bands that must survive; outputs, workspace and bands hold NaNs
// before the run, so that a read of what nobody wrote shows in the result; each kernel runs twice
// and must return the same bits. A device with memory of its own gets copies of the buffers, bands
// and all, and they are fetched back after the run.
//
// TOKAMAK_CONFORMANCE_TARGETS=cpu|cuda|compile keeps to one target; compile builds what the cuda
// cases would run and runs nothing, on machines without a GPU. TOKAMAK_CONFORMANCE_SHARD=3/16 takes
// each sixteenth case, for many processes beside each other. TOKAMAK_CONFORMANCE_DELAYS=2000 holds
// a warp of each block up at every barrier of a cuda kernel, for so many nanoseconds: races and
// waits for ever, which else need a million launches, show at once. A case that does not come back
// ends the program and says which it was.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#if !defined(__SANITIZE_ADDRESS__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1  // clang says it this way
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "tokamak/base/fields.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::conformance {

/// 64-byte-aligned bytes, all ones, with bands of 4 KiB around them that may not be read either
/// where the address sanitizer watches.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(int64_t bytes)
      : bytes_(static_cast<size_t>(bytes)), memory_(bytes_ + 2 * kBand + 64, std::byte{0xff}) {
    auto address = reinterpret_cast<uintptr_t>(memory_.data()) + kBand;
    begin_ = (address + 63) / 64 * 64 - reinterpret_cast<uintptr_t>(memory_.data());
    forbid_bands();
  }
  GuardedBuffer(GuardedBuffer&&) = default;
  ~GuardedBuffer() { allow_all(); }

  void* data() { return memory_.data() + begin_; }
  std::vector<std::byte> content() {
    auto* first = static_cast<std::byte*>(data());
    return {first, first + bytes_};
  }
  /// The bytes with their bands, and where the bytes begin.
  std::span<std::byte> whole() {
    allow_all();
    return memory_;
  }
  size_t begin() const { return begin_; }
  bool bands_intact() {
    allow_all();
    auto intact = [](std::byte b) { return b == std::byte{0xff}; };
    auto begin = memory_.begin() + static_cast<int64_t>(begin_);
    bool fine = std::all_of(memory_.begin(), begin, intact) &&
                std::all_of(begin + static_cast<int64_t>(bytes_), memory_.end(), intact);
    forbid_bands();
    return fine;
  }

 private:
  static constexpr size_t kBand = 4096;
#if defined(__SANITIZE_ADDRESS__)
  void forbid_bands() {
    ASAN_POISON_MEMORY_REGION(memory_.data(), begin_);
    ASAN_POISON_MEMORY_REGION(memory_.data() + begin_ + bytes_, memory_.size() - begin_ - bytes_);
  }
  void allow_all() {
    ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size());
  }
#else
  void forbid_bands() {}
  void allow_all() {}
#endif
  size_t bytes_, begin_ = 0;
  std::vector<std::byte> memory_;
};

/// Copies of guarded buffers in the memory of a device.
class DeviceCopies {
 public:
  explicit DeviceCopies(device::Device& device) : device_(device) {}
  ~DeviceCopies() { arena().used = 0; }

  /// Where the buffer's bytes are for a kernel: aligned to 64 bytes and no more.
  void* place(GuardedBuffer& buffer) {
    if (device_.host_accessible()) return buffer.data();
    Arena& a = arena();
    if (a.memory.bytes() == 0) a.memory = device_.allocate(kArenaBytes).value();
    std::span<std::byte> whole = buffer.whole();
    size_t begin = (a.used + buffer.begin() + 127) / 128 * 128 + 64;
    a.used = begin - buffer.begin() + whole.size();
    TKM_CHECK(a.used <= kArenaBytes, "the case takes {} bytes", a.used);
    auto* at = static_cast<std::byte*>(a.memory.data()) + begin;
    device_.copy_to_device(at - buffer.begin(), whole.data(), std::ssize(whole));
    copies_.push_back({&buffer, at});
    return at;
  }
  /// After the run: the buffers as the device left them.
  Result<void> fetch() {
    for (auto& [buffer, at] : copies_) {
      std::span<std::byte> whole = buffer->whole();
      device_.copy_to_host(whole.data(), at - buffer->begin(), std::ssize(whole));
    }
    return device_.synchronize();
  }

 private:
  static constexpr size_t kArenaBytes = size_t{256} << 20;
  struct Arena {
    device::Memory memory;
    size_t used = 0;
  };
  static Arena& arena() {
    static Arena arena;  // Of the one device with memory of its own.
    return arena;
  }
  struct Copy {
    GuardedBuffer* buffer;
    std::byte* at;
  };
  device::Device& device_;
  std::vector<Copy> copies_;
};

/// Ends the program, with `what` it waited for, unless it is destroyed in time: nothing else ends a
/// kernel that waits for ever.
class Watchdog {
 public:
  explicit Watchdog(std::string what)
      : thread_([this, what = std::move(what)] {
          std::unique_lock lock(mutex_);
          if (ended_.wait_for(lock, std::chrono::seconds(60), [this] { return done_; })) return;
          fprintf(stderr, "HANGS: %s\n", what.c_str());
          std::_Exit(3);
        }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  std::thread thread_;
};

/// The batch of a case in the memory of a device.
class DeviceBatchCase {
 public:
  DeviceBatchCase(DeviceCopies& copies, std::span<const op::SequenceSpan> sequences) {
    std::vector<int32_t> first_rows = {0}, contexts, table;
    size_t max_pages = 1;
    for (const auto& s : sequences) max_pages = std::max(max_pages, s.pages.size());
    for (const auto& s : sequences) {
      first_rows.push_back(s.first_token + s.num_tokens);
      contexts.push_back(s.context);
      table.insert(table.end(), s.pages.begin(), s.pages.end());
      table.resize(contexts.size() * max_pages, -1);
      batch_.max_sequence_rows = std::max(batch_.max_sequence_rows, s.num_tokens);
    }
    batch_.first_rows = place(copies, first_rows);
    batch_.contexts = place(copies, contexts);
    batch_.page_table = place(copies, table);
    batch_.num_sequences = static_cast<int32_t>(sequences.size());
    batch_.max_pages = static_cast<int32_t>(max_pages);
  }
  const DeviceBatch& batch() const { return batch_; }

 private:
  const int32_t* place(DeviceCopies& copies, const std::vector<int32_t>& values) {
    int64_t bytes = std::ssize(values) * 4;
    buffers_.push_back(std::make_unique<GuardedBuffer>(bytes));
    std::memcpy(buffers_.back()->data(), values.data(), static_cast<size_t>(bytes));
    return static_cast<const int32_t*>(copies.place(*buffers_.back()));
  }
  std::vector<std::unique_ptr<GuardedBuffer>> buffers_;
  DeviceBatch batch_;
};

/// Fresh values of the order of one; one in a thousand is fifty times larger.
inline Tensor random_tensor(DType dtype, const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  Tensor out(DType::kF32, shape);
  for (float& value : out.floats()) value = normal(random) * (random() % 1000 == 0 ? 50.0f : 1.0f);
  return out.to(dtype);
}

/// A sequence of the batch: tokens of this step after `context` cached ones.
struct SequenceCase {
  int32_t num_tokens, context;
};

/// A paged cache with random contents up to each context and NaNs elsewhere; pages in random order.
class CacheCase {
 public:
  CacheCase(DType dtype,
            int64_t num_kv_heads,
            int64_t head_dim,
            std::span<const SequenceCase> sequences,
            uint32_t seed)
      : page_bytes_(op::KvCache::bytes_of_page(dtype, num_kv_heads, head_dim)) {
    int32_t num_pages = 1;
    for (auto [tokens, context] : sequences)
      num_pages += (tokens + context + 63) / static_cast<int32_t>(op::kPageTokens);
    std::vector<int32_t> order(static_cast<size_t>(num_pages));
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::mt19937 random(seed);
    std::shuffle(order.begin(), order.end(), random);
    bytes_ = num_pages * page_bytes_;
    initial_.assign(static_cast<size_t>(bytes_), std::byte{0xff});
    view_ = {.dtype = dtype,
             .num_kv_heads = static_cast<int32_t>(num_kv_heads),
             .head_dim = static_cast<int32_t>(head_dim),
             .page_bytes = page_bytes_,
             .data = initial_.data()};
    int32_t row = 0;
    size_t next = 0;
    for (auto [tokens, context] : sequences) {
      size_t count = static_cast<size_t>((tokens + context + 63) / op::kPageTokens);
      pages_.emplace_back(order.begin() + static_cast<int64_t>(next),
                          order.begin() + static_cast<int64_t>(next + count));
      next += count;
      fill(pages_.back(), context, seed++);
      spans_.push_back({.first_token = row, .num_tokens = tokens, .context = context});
      row += tokens;
    }
    for (size_t i = 0; i < spans_.size(); ++i) spans_[i].pages = pages_[i];
  }

  int64_t bytes() const { return bytes_; }
  const std::vector<std::byte>& initial() const { return initial_; }
  op::KvCache view(void* data) const {
    op::KvCache cache = view_;
    cache.data = data;
    return cache;
  }
  std::span<const op::SequenceSpan> sequences() const { return spans_; }
  /// Other rows over the same pages.
  void set_sequences(std::vector<op::SequenceSpan> spans) { spans_ = std::move(spans); }

 private:
  void fill(const std::vector<int32_t>& pages, int64_t context, uint32_t seed) {
    int64_t head_bytes = view_.head_dim * tensor::dtype_bytes(view_.dtype);
    Tensor values =
        random_tensor(view_.dtype, {context * 2 * view_.num_kv_heads, view_.head_dim}, seed);
    auto* from = static_cast<const std::byte*>(values.view().data);
    for (int64_t position = 0; position < context; ++position) {
      for (int32_t i = 0; i < 2 * view_.num_kv_heads; ++i, from += head_bytes) {
        void* to = view_.at(pages[static_cast<size_t>(position / op::kPageTokens)],
                            i % 2,
                            i / 2,
                            position % op::kPageTokens);
        std::memcpy(to, from, static_cast<size_t>(head_bytes));
      }
    }
  }
  int64_t page_bytes_, bytes_ = 0;
  op::KvCache view_;
  std::vector<std::byte> initial_;
  std::vector<std::vector<int32_t>> pages_;
  std::vector<op::SequenceSpan> spans_;
};

enum class Rule {
  kNorm,     ///< ||y - reference|| against ||reference||
  kLargest,  ///< largest difference against largest value
};

struct Case {
  op::Op op;
  std::vector<TensorType> inputs;
  std::vector<bool> weights;  ///< As in KernelDesc; empty: none.
  int64_t tokens = 1, rows = 1;
  Rule rule = Rule::kNorm;
  double f32_tolerance = 1e-5, bf16_tolerance = 4e-3;
  CacheCase* cache = nullptr;
  std::vector<Target> targets = {Target::kCpu, Target::kCuda};  ///< Some ops are for one alone.
  /// Contents of integer input i; default: zeros.
  std::function<int32_t(size_t input, int64_t element)> integer = nullptr;
};

/// Kernels run so far, of all cases.
inline int64_t& num_runs() {
  static int64_t count = 0;
  return count;
}

inline double error_of(Rule rule,
                       const std::vector<float>& reference,
                       const std::vector<float>& y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    double d = static_cast<double>(y[i]) - reference[i], r = reference[i];
    if (std::isnan(r) && std::isnan(y[i])) continue;  // Slots of the cache that nobody wrote.
    if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
    if (rule == Rule::kLargest) {
      difference = std::max(difference, std::abs(d));
      size = std::max(size, std::abs(r));
    } else {
      difference += d * d;
      size += r * r;
    }
  }
  if (rule == Rule::kNorm) {
    difference = std::sqrt(difference);
    size = std::sqrt(size);
  }
  return difference == 0 ? 0 : difference / size;
}

inline std::vector<float> floats_of(DType dtype, const void* data, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  tensor::convert(dtype, data, DType::kF32, out.data(), count);
  return out;
}

class CaseRunner {
 public:
  CaseRunner(const Case& c, uint32_t seed) : case_(c), seed_(seed) {
    desc_.op = c.op;
    desc_.inputs = c.inputs;
    desc_.weights = c.weights;
    desc_.weights.resize(c.inputs.size(), false);
    auto outputs = c.op.infer(c.inputs);
    EXPECT_TRUE(outputs.ok()) << c.op.name() << ": "
                              << (outputs.ok() ? "" : outputs.error().text());
    if (!outputs.ok()) return;
    desc_.outputs = *outputs;
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      const TensorType& type = c.inputs[i];
      Shape shape = type.resolve(c.tokens, c.rows);
      if (tensor::is_float(type.dtype)) {
        inputs_.push_back(random_tensor(type.dtype, shape, seed * 31 + static_cast<uint32_t>(i)));
      } else {
        inputs_.emplace_back(type.dtype, shape);
        for (size_t j = 0; c.integer && j < inputs_.back().ints().size(); ++j)
          inputs_.back().ints()[j] = c.integer(i, static_cast<int64_t>(j));
      }
    }
    compute_reference();
  }

  void run_everywhere() {
    if (desc_.outputs.empty()) return;
    for (Target target : case_.targets) {
      auto device = shared_device(target);
      if (!device) continue;
      auto found = configs(*device);
      EXPECT_FALSE(found.empty()) << describe() << " has no " << base::enum_name(target)
                                  << " tactic";
      for (const Candidate& candidate : found) {
        if (compiles_only(*device))
          compile(candidate, *device);
        else
          run(candidate, *device);
      }
    }
  }

 private:
  static device::Device* shared_device(Target target) {
    static const std::vector<std::shared_ptr<device::Device>> devices = open_devices();
    return devices[static_cast<size_t>(target)].get();
  }
  static std::vector<std::shared_ptr<device::Device>> open_devices() {
    const char* variable = std::getenv("TOKAMAK_CONFORMANCE_TARGETS");
    std::string only = variable ? variable : "";
    std::vector<std::shared_ptr<device::Device>> out(3);
    for (Target target : {Target::kCpu, Target::kCuda}) {
      if (!only.empty() && only != base::enum_name(target)) continue;
      auto opened = device::open_device(target, target == Target::kCpu ? 2 : 0);
      if (opened.ok()) out[static_cast<size_t>(target)] = *opened;
      EXPECT_TRUE(opened.ok() || only.empty()) << opened.error().text();
    }
    auto& gpu = out[static_cast<size_t>(Target::kCuda)];
    if (only == "compile") gpu = device::cuda::CudaDevice::compile_only({}, 1);
    if (const char* delay = std::getenv("TOKAMAK_CONFORMANCE_DELAYS"); delay && gpu)
      device::cuda::cuda_device(*gpu).add_test_option(fmt::format("-DTKM_PLANT_DELAYS={}", delay));
    return out;
  }
  static bool compiles_only(const device::Device& device) {
    return device.target() == Target::kCuda && !device::cuda::cuda_device(device).can_run();
  }
  void compile(const Candidate& candidate, device::Device& device) const {
    auto kernel = candidate.tactic->make(desc_, candidate.config, device);
    EXPECT_TRUE(kernel.ok()) << candidate.tactic->name << " " << candidate.config.dump() << ": "
                             << describe() << ": " << kernel.error().text();
    ++num_runs();
  }

  /// What any token bucket would offer: a kernel must be right for every number of tokens. Where
  /// each config is compiled, a case takes two of a tactic, the next case others.
  std::vector<Candidate> configs(const device::Device& device) const {
    size_t turn = seed_;
    std::vector<Candidate> out;
    for (const Tactic* tactic : all_tactics()) {
      if (tactic->target != device.target()) continue;
      std::vector<Json> all;
      std::set<std::string> seen;
      for (int64_t tokens : {1, 2, 4, 8, 16, 32, 64, 128, 512}) {
        for (Json& config : tactic->candidates(desc_, tokens, device)) {
          if (seen.insert(config.dump()).second) all.push_back(std::move(config));
        }
      }
      if (device.target() == Target::kCuda && all.size() > 2) {
        size_t first = turn % all.size(), second = (turn + 1 + turn / all.size()) % all.size();
        all = first == second ? std::vector{all[first]} : std::vector{all[first], all[second]};
      }
      for (Json& config : all) out.push_back({tactic, std::move(config)});
    }
    return out;
  }

  std::string describe() const {
    std::string text = fmt::format("{} {}", desc_.op.name(), desc_.op.attributes().dump());
    for (const TensorType& type : desc_.inputs) text += " " + type.text();
    return text + fmt::format(" tokens {} rows {}", case_.tokens, case_.rows);
  }

  void compute_reference() {
    std::vector<Tensor> kept;
    std::vector<TensorView> inputs, outputs;
    for (const Tensor& input : inputs_) {
      kept.push_back(tensor::is_float(input.dtype()) ? input.to(DType::kF32) : input);
      inputs.push_back(kept.back().view());
    }
    for (const TensorType& type : desc_.outputs) {
      reference_.emplace_back(DType::kF32, type.resolve(case_.tokens, case_.rows));
      outputs.push_back(reference_.back().view());
    }
    op::KvCache layer;
    op::BatchView batch;
    if (case_.cache) {
      reference_cache_ = case_.cache->initial();
      layer = case_.cache->view(reference_cache_.data());
      batch = {case_.cache->sequences(), std::span(&layer, 1)};
    }
    desc_.op.reference(batch, inputs, outputs);
  }

  /// Input `i` as the tactic wants it, in a guarded buffer.
  GuardedBuffer input_buffer(const Tactic& tactic, size_t i) const {
    const TensorView& view = inputs_[i].view();
    if (i != 1 || !desc_.weights[1] || !tactic.layout) {
      GuardedBuffer buffer(view.bytes());
      std::memcpy(buffer.data(), view.data, static_cast<size_t>(view.bytes()));
      return buffer;
    }
    GuardedBuffer buffer(tactic.layout->bytes(desc_));
    int64_t rows = view.shape[0], row_bytes = view.bytes() / std::max<int64_t>(rows, 1);
    for (int64_t first = 0; first < rows; first += 37) {
      tactic.layout->pack_rows(desc_,
                               static_cast<const std::byte*>(view.data) + first * row_bytes,
                               first,
                               std::min<int64_t>(37, rows - first),
                               buffer.data());
    }
    return buffer;
  }

  void run(const Candidate& candidate, device::Device& device) {
    std::string what =
        fmt::format("{} {}: {}", candidate.tactic->name, candidate.config.dump(), describe());
    auto kernel = candidate.tactic->make(desc_, candidate.config, device);
    ASSERT_TRUE(kernel.ok()) << what << ": " << kernel.error().text();
    std::vector<GuardedBuffer> buffers;
    for (size_t i = 0; i < inputs_.size(); ++i)
      buffers.push_back(input_buffer(*candidate.tactic, i));
    std::vector<std::vector<std::byte>> first_run;
    for (int run = 0; run < 2; ++run) {
      std::vector<std::vector<std::byte>> results = run_once(what, device, **kernel, buffers);
      for (GuardedBuffer& buffer : buffers)
        EXPECT_TRUE(buffer.bands_intact()) << what << ": wrote around an input";
      if (run == 0)
        first_run = std::move(results);
      else
        EXPECT_TRUE(first_run == results) << what << ": the second run differs";
    }
    ++num_runs();
  }

  std::vector<std::vector<std::byte>> run_once(const std::string& what,
                                               device::Device& device,
                                               Kernel& kernel,
                                               std::vector<GuardedBuffer>& input_buffers) {
    int64_t sequences = case_.cache ? std::ssize(case_.cache->sequences()) : 1;
    GuardedBuffer workspace(kernel.workspace_bytes(case_.tokens, case_.rows, sequences));
    std::vector<GuardedBuffer> buffers;
    for (const TensorType& type : desc_.outputs)
      buffers.emplace_back(TensorView{type.dtype, shape_of(type), nullptr}.bytes());
    if (case_.cache) {
      buffers.emplace_back(case_.cache->bytes());
      std::memcpy(buffers.back().data(),
                  case_.cache->initial().data(),
                  static_cast<size_t>(case_.cache->bytes()));
    }

    DeviceCopies copies(device);
    std::vector<TensorView> inputs, outputs;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      inputs.push_back(inputs_[i].view());
      inputs.back().data = copies.place(input_buffers[i]);
    }
    for (size_t i = 0; i < desc_.outputs.size(); ++i) {
      const TensorType& type = desc_.outputs[i];
      outputs.push_back({type.dtype, shape_of(type), copies.place(buffers[i])});
    }
    op::KvCache layer;
    op::BatchView batch;
    std::optional<DeviceBatchCase> device_batch;
    if (case_.cache) {
      layer = case_.cache->view(copies.place(buffers.back()));
      batch = {case_.cache->sequences(), std::span(&layer, 1)};
      device_batch.emplace(copies, batch.sequences);
    }
    std::optional<Watchdog> watchdog;
    if (!device.host_accessible()) watchdog.emplace(what);
    kernel.run({.inputs = inputs,
                .outputs = outputs,
                .batch = &batch,
                .device_batch = device_batch ? &device_batch->batch() : nullptr,
                .workspace = copies.place(workspace)});
    auto done = copies.fetch();
    watchdog.reset();
    EXPECT_TRUE(done.ok()) << what << ": " << done.error().text();
    EXPECT_TRUE(workspace.bands_intact()) << what << ": wrote around the workspace";
    std::vector<std::vector<std::byte>> results;
    for (GuardedBuffer& buffer : buffers) {
      EXPECT_TRUE(buffer.bands_intact()) << what << ": wrote around an output";
      results.push_back(buffer.content());
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      compare(what, outputs[i].dtype, buffers[i].data(), reference_[i].floats(), case_.rule);
    }
    if (case_.cache) {
      int64_t count = case_.cache->bytes() / tensor::dtype_bytes(layer.dtype);
      compare(what + " cache",
              layer.dtype,
              buffers.back().data(),
              floats_of(layer.dtype, reference_cache_.data(), count),
              Rule::kNorm);
    }
    return results;
  }
  Shape shape_of(const TensorType& type) const { return type.resolve(case_.tokens, case_.rows); }

  void compare(const std::string& what,
               DType dtype,
               const void* data,
               std::span<const float> reference,
               Rule rule) const {
    double error = error_of(rule,
                            {reference.begin(), reference.end()},
                            floats_of(dtype, data, static_cast<int64_t>(reference.size())));
    // A float result of bf16 factors is as good as their products' order of summation.
    bool narrow = dtype == DType::kBF16 || inputs_[0].dtype() == DType::kBF16 ||
                  (case_.cache && case_.cache->view(nullptr).dtype == DType::kBF16);
    EXPECT_LE(error, narrow ? case_.bf16_tolerance : case_.f32_tolerance) << what;
  }

  Case case_;
  uint32_t seed_;
  KernelDesc desc_;
  std::vector<Tensor> inputs_, reference_;
  std::vector<std::byte> reference_cache_;
};

inline void check(const Case& c) {
  static uint32_t seed = 0;
  static const std::pair<uint32_t, uint32_t> shard = [] {
    std::pair<uint32_t, uint32_t> parts{0, 1};
    const char* text = std::getenv("TOKAMAK_CONFORMANCE_SHARD");
    if (text) {
      EXPECT_EQ(std::sscanf(text, "%u/%u", &parts.first, &parts.second), 2) << text;
    }
    return parts;
  }();
  if (++seed % shard.second == shard.first) CaseRunner(c, seed).run_everywhere();
}

}  // namespace tokamak::kernels::conformance
