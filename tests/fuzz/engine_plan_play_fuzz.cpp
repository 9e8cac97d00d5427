// SPDX-License-Identifier: Apache-2.0
// A valid plan, changed in some places: an error, or a plan that plays within its memory. The input
// says what is changed.
#include <fuzzer/FuzzedDataProvider.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include "tokamak/runtime/engine_session.h"
#include "tokamak/runtime/small_plan_test.h"
#include "tokamak/runtime/verify_plan.h"

namespace {

using namespace tokamak;

/// So many bytes that end where a page begins that nobody may touch; AddressSanitizer also sees who
/// touches the few bytes before it.
Result<device::Memory> fenced_memory(int64_t bytes) {
  constexpr size_t kPage = 4096, kAlignment = 64;
  const auto size = static_cast<size_t>(bytes);
  const size_t used = (size + kAlignment - 1) / kAlignment * kAlignment;
  const size_t pages = (used + kPage - 1) / kPage * kPage;
  void* base =
      ::mmap(nullptr, pages + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return base::out_of_memory("no memory");
  std::byte* data = static_cast<std::byte*>(base) + pages - used;
  ::mprotect(static_cast<std::byte*>(base) + pages, kPage, PROT_NONE);
  ASAN_POISON_MEMORY_REGION(base, pages - used);
  ASAN_POISON_MEMORY_REGION(data + size, used - size);
  return device::Memory(data, bytes, std::shared_ptr<void>(base, [pages](void* p) {
                          ASAN_UNPOISON_MEMORY_REGION(p, pages);
                          ::munmap(p, pages + kPage);
                        }));
}

/// The host with a fence behind each allocation, and little memory.
class FencedDevice : public device::Device {
 public:
  explicit FencedDevice(Target target) : host_(device::open_device(target, 1).value()) {}
  Target target() const override { return host_->target(); }
  std::string fingerprint() const override { return host_->fingerprint(); }
  Result<device::Memory> allocate(int64_t bytes) override {
    return bytes > kMemory ? base::out_of_memory("too much") : fenced_memory(bytes);
  }
  Result<device::Memory> allocate_host(int64_t bytes) override { return allocate(bytes); }
  int64_t free_bytes() const override { return kMemory; }
  int64_t total_bytes() const override { return kMemory; }
  bool host_accessible() const override { return true; }
  void copy_to_device(void* to, const void* from, int64_t bytes) override {
    host_->copy_to_device(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) override {
    host_->copy_to_host(to, from, bytes);
  }
  void fill_bytes(void* to, uint8_t value, int64_t bytes) override {
    host_->fill_bytes(to, value, bytes);
  }
  Result<void> synchronize() override { return host_->synchronize(); }
  Result<std::unique_ptr<device::Event>> make_event() override { return host_->make_event(); }
  Result<std::unique_ptr<device::Graph>> capture(const std::function<void()>& work) override {
    return host_->capture(work);
  }
  Result<double> time_us(const std::function<void()>& work) override {
    return host_->time_us(work);
  }
  base::ThreadPool& pool() override { return host_->pool(); }

 private:
  static constexpr int64_t kMemory = 8 << 20;
  std::shared_ptr<device::Device> host_;
};

/// What plans are made of, and some that they are not.
std::vector<std::string> words() {
  std::vector<std::string> out = {"",
                                  "input",
                                  "weight",
                                  "buffer",
                                  "row_major",
                                  "silu",
                                  "none",
                                  "f32",
                                  "bf16",
                                  "f16",
                                  "i32[T]",
                                  "i32[R]",
                                  "f32[T]",
                                  "f32[T, 32]",
                                  "f32[R, 32]",
                                  "f32[]",
                                  "f32[T, T]",
                                  "f32[R, 96]",
                                  "f32[96, 32]"};
  for (const op::OpInfo* info : op::all_ops()) out.emplace_back(info->name);
  for (const kernels::Tactic* tactic : kernels::all_tactics()) {
    if (tactic->target != Target::kCuda) out.emplace_back(tactic->name);
    if (tactic->layout) out.emplace_back(tactic->layout->name);
  }
  return out;
}

/// A plan that is copied into itself doubles.
constexpr int kMostChanges = 16;
constexpr size_t kMostNodes = 8'000;

/// All that is in `json`, itself first.
void list_nodes(Json& json, std::vector<Json*>& out) {
  out.push_back(&json);
  if (!json.is_structured()) return;
  for (Json& element : json) list_nodes(element, out);
}

Json other_value(const Json& value, FuzzedDataProvider& data) {
  static const std::vector<std::string> kWords = words();
  if (value.is_string()) return kWords[data.ConsumeIntegralInRange<size_t>(0, kWords.size() - 1)];
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number_integer() && data.ConsumeBool())
    return static_cast<int64_t>(static_cast<uint64_t>(value.get<int64_t>()) +
                                static_cast<uint64_t>(data.ConsumeIntegral<int8_t>()));
  if (value.is_number_integer()) {
    int shift = data.ConsumeIntegralInRange(0, 63);
    return static_cast<int64_t>((uint64_t{1} << shift) + data.ConsumeIntegral<uint8_t>());
  }
  return data.ConsumeFloatingPoint<float>();
}

void change(Json& plan, FuzzedDataProvider& data) {
  std::vector<Json*> nodes;
  list_nodes(plan, nodes);
  auto pick = [&]() -> Json& {
    return *nodes[data.ConsumeIntegralInRange<size_t>(0, nodes.size() - 1)];
  };
  Json& node = pick();
  if (!node.is_structured()) {
    node = other_value(node, data);
    return;
  }
  if (node.empty()) return;
  auto index = [&] { return data.ConsumeIntegralInRange<size_t>(0, node.size() - 1); };
  switch (data.ConsumeIntegralInRange(0, 3)) {
    case 0:
      node.erase(std::next(node.begin(), static_cast<ptrdiff_t>(index())));
      return;
    case 1:
      if (node.is_array()) node.push_back(Json(node[index()]));
      return;
    case 2:
      if (node.is_array()) std::swap(node[index()], node[index()]);
      return;
    default:
      if (nodes.size() < kMostNodes) node = Json(pick());
  }
}

/// A prompt of two sequences, then a token of each.
void play(const engine::Plan& plan, const std::shared_ptr<device::Device>& device) {
  engine::Engine engine{.manifest = {.dummy_weights = true}, .plan = plan};
  auto session = runtime::open_session(
      engine,
      device,
      {.max_step_tokens = 8, .max_step_rows = 4, .max_sequences = 2, .kv_tokens = 256});
  if (!session.ok()) return;
  const auto vocab = (*session)->info().vocab_size;
  auto id = [&](int64_t i) { return static_cast<int32_t>(i * 31 % vocab); };
  const std::vector<int32_t> first_pages = {2, 0}, second_pages = {3, 1};
  float sum = 0;
  auto run = [&](const std::vector<int32_t>& ids,
                 const std::vector<int32_t>& positions,
                 const std::vector<op::SequenceSpan>& sequences,
                 const std::vector<int32_t>& rows) {
    auto output = (*session)->step({.token_ids = ids,
                                    .positions = positions,
                                    .sequences = sequences,
                                    .logit_rows = rows,
                                    .wants_logits = true});
    if (!output.ok()) return;
    for (float logit : output->logits.as<float>()) sum += logit;
  };
  run({id(1), id(2), id(3), id(4), id(vocab - 1)},
      {0, 1, 2, 0, 1},
      {{0, 3, 0, first_pages}, {3, 2, 0, second_pages}},
      {2, 4});
  run({id(5), id(6)}, {3, 2}, {{0, 1, 3, first_pages}, {1, 1, 2, second_pages}}, {0, 1});
  volatile float kept = sum;
  static_cast<void>(kept);
}

struct Subject {
  std::shared_ptr<device::Device> device;
  Json plan;
};

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> kSubjects = [] {
    std::vector<Subject> out;
    for (Target target : {Target::kReference, Target::kCpu}) {
      auto device = std::make_shared<FencedDevice>(target);
      for (DType dtype : {DType::kF32, DType::kBF16})
        out.push_back({device, runtime::SmallPlan::make(*device, dtype).to_json()});
    }
    return out;
  }();
  return kSubjects;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  const Subject& subject = subjects()[data.ConsumeIntegralInRange<size_t>(0, 3)];
  Json json = subject.plan;
  for (int i = 0; i < kMostChanges && data.remaining_bytes() > 0; ++i) change(json, data);
  auto plan = engine::Plan::from_json(json);
  if (!plan.ok() || !runtime::verify_plan(*plan, *subject.device).ok()) return 0;
  play(*plan, subject.device);
  return 0;
}
