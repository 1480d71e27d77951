// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/moe.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_operand.h"
#include "kernels/cpu/linear_pack.h"
#include "ops/parallel.h"
#include "ops/reference/linear.h"
#include "ops/reference/moe.h"

namespace banyan::kernels {
namespace {

using ops::ExpertMatrix;
using ops::ExpertMlp;
using ops::ExpertsCall;
using ops::OpContext;

// Temporaries of one pass; longer calls are cut into passes of whole rows. The more rows, the more
// of them share an expert's weights, and the fuller are the tiles that products take them in.
constexpr int64_t kPassBytes = int64_t{256} << 20;
constexpr int64_t kLeastPassRows = 128;

// All experts in one block of memory.
StatusOr<ExpertMatrix> Pack(const OpContext& context, std::span<const Tensor> experts,
                            DType compute) {
  const DType dtype = experts[0].dtype();
  const auto count = static_cast<int64_t>(experts.size());
  ExpertMatrix matrix;
  matrix.experts.resize(experts.size());
  std::vector<Status> status(experts.size());
  // Looking at every scale of a quantized expert takes as long as reading it.
  ops::ParallelItems(
      context, count, static_cast<double>(experts[0].NumBytes()), [&](int64_t begin, int64_t end) {
        for (int64_t e = begin; e < end; ++e) {
          auto weight = IsQuantized(dtype)
                            ? ops::reference::DescribeParts({&experts[e], 1}, compute)
                            : ops::reference::Pack(context, {&experts[e], 1}, compute);
          status[e] = weight.status();
          if (weight.ok()) matrix.experts[e] = *std::move(weight);
        }
      });
  for (const Status& one : status) BANYAN_RETURN_IF_ERROR(one);
  if (!IsQuantized(dtype)) return matrix;
  const int64_t groups = (matrix.rows() + kGroupRows - 1) / kGroupRows;
  const int64_t group_bytes = LayoutOf(dtype).GroupBytes(matrix.cols());
  BANYAN_ASSIGN_OR_RETURN(
      Buffer memory,
      context.backend->Allocate(static_cast<std::size_t>(count * groups * group_bytes), "experts"));
  auto* packed = reinterpret_cast<uint8_t*>(memory.data());
  ops::ParallelItems(context, count * groups, static_cast<double>(group_bytes),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i)
                         PackGroup({&experts[i / groups], 1}, i % groups, packed + i * group_bytes);
                     });
  for (int64_t e = 0; e < count; ++e) {
    matrix.experts[e].layout = kGroupedLayout;
    matrix.experts[e].data =
        Tensor(packed + e * groups * group_bytes, DType::kU8, {groups, group_bytes});
  }
  matrix.owned.push_back(std::move(memory));
  return matrix;
}

// Rows that go into products together, and the operands made of them.
struct Rows {
  std::vector<RowRange> ranges;  // what one expert takes, one after the other
  std::deque<Operand> operands;  // by format

  void Need(const OpContext& context, const ExpertMatrix& matrix) {
    if (!matrix.empty() && Find(matrix.experts[0]) == nullptr)
      operands.emplace_back(context, matrix.experts[0], ranges.back().begin + ranges.back().count);
  }
  const Operand* Find(const PackedWeight& weight) const {
    for (const Operand& operand : operands)
      if (operand.Serves(weight)) return &operand;
    return nullptr;
  }
  double fill_nanoseconds() const {
    double sum = 0.0;
    for (const Operand& operand : operands) sum += operand.fill_nanoseconds();
    return sum;
  }
  // Rows [begin, end) of all, from floats that row(i) gives.
  template <typename RowOf>
  void Fill(int64_t begin, int64_t end, const RowOf& row) const {
    auto range = std::upper_bound(ranges.begin(), ranges.end(), begin,
                                  [](int64_t at, const RowRange& r) { return at < r.begin; }) -
                 1;
    for (int64_t i = begin; i < end; ++i) {
      if (i >= range->begin + range->count) ++range;
      for (const Operand& operand : operands) operand.Fill(*range, i - range->begin, row(i));
    }
  }
};

// One expert and its rows.
struct Work {
  const ExpertMlp* mlp;
  int32_t expert;
  const Rows* in;
  RowRange in_range;  // of `in`
  const Rows* hidden;
  RowRange hidden_range;  // of `hidden`
  float* up;              // [count, gate and up]
  float* out;             // [count, out's columns]
};

class ProductList {
 public:
  void Add(const Rows& rows, RowRange range, const ExpertMatrix& matrix, int32_t expert, float* out,
           int64_t out_stride) {
    const PackedWeight& weight = matrix.experts[expert];
    const float* bias =
        matrix.bias.empty() ? nullptr : matrix.bias.data<float>() + expert * matrix.bias.stride(0);
    products_.emplace_back(*rows.Find(weight), range, weight, bias, out, out_stride);
    starts_.push_back(items_);
    items_ += products_.back().items();
    nanoseconds_ +=
        static_cast<double>(products_.back().items()) * products_.back().item_nanoseconds();
  }

  void Run(const OpContext& context) const {
    if (items_ == 0) return;
    ops::ParallelItems(
        context, items_, nanoseconds_ / static_cast<double>(items_),
        [&](int64_t begin, int64_t end) {
          auto i = static_cast<std::size_t>(
              std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin() - 1);
          for (; begin < end; ++i) {
            const int64_t stop = std::min(end, starts_[i] + products_[i].items());
            products_[i].Run(begin - starts_[i], stop - starts_[i]);
            begin = stop;
          }
        });
  }

 private:
  std::vector<Product> products_;
  std::vector<int64_t> starts_;
  int64_t items_ = 0;
  double nanoseconds_ = 0.0;
};

int64_t UpWidth(const ExpertMlp& mlp) { return mlp.up.rows() * (mlp.gate.empty() ? 1 : 2); }

// One pass: few enough rows for the temporaries.
class Pass {
 public:
  Pass(const OpContext& context, const ExpertsCall& call)
      : context_(context), call_(call), n_(call.x.dim(0)), dim_(call.out.dim(1)) {}

  void Run() {
    Plan();
    FillInputs();
    Multiply(/*down=*/false);
    Activate();
    Multiply(/*down=*/true);
    ops::reference::CombineSlots(context_, call_, grouped_.pair, results_, shared_results_);
  }

 private:
  float* Floats(int64_t rows, int64_t cols) {
    return context_.scratch->Get(DType::kF32, {rows, cols}).data<float>();
  }

  void Plan() {
    if (call_.routed != nullptr) {
      const ExpertMlp& mlp = *call_.routed;
      const int64_t k = call_.ids.dim(1);
      pairs_ = n_ * k;
      grouped_ = ops::reference::GroupByExpert(
          {call_.ids.data<int32_t>(), static_cast<std::size_t>(pairs_)}, k,
          static_cast<int64_t>(mlp.up.experts.size()));
      // All experts of a single row read the same operand.
      const bool one = n_ == 1 && !call_.scale_input;
      up_ = Floats(pairs_, UpWidth(mlp));
      hidden_ = Floats(pairs_, mlp.up.rows());
      results_ = Floats(pairs_, dim_);
      if (one) inputs_.ranges.push_back({0, 1});
      for (const auto& [expert, begin, count] : grouped_.segments) {
        if (!one) inputs_.ranges.push_back({begin, count});
        hiddens_.ranges.push_back({begin, count});
        works_.push_back({&mlp, expert, &inputs_, inputs_.ranges.back(), &hiddens_,
                          hiddens_.ranges.back(), up_ + begin * UpWidth(mlp),
                          results_ + begin * dim_});
      }
      inputs_.Need(context_, mlp.gate);
      inputs_.Need(context_, mlp.up);
      hiddens_.Need(context_, mlp.down);
    }
    if (call_.shared == nullptr) return;
    const ExpertMlp& mlp = *call_.shared;
    shared_up_ = Floats(n_, UpWidth(mlp));
    shared_hidden_ = Floats(n_, mlp.up.rows());
    shared_results_ = Floats(n_, dim_);
    shared_inputs_.ranges = shared_hiddens_.ranges = {{0, n_}};
    shared_inputs_.Need(context_, mlp.gate);
    shared_inputs_.Need(context_, mlp.up);
    shared_hiddens_.Need(context_, mlp.down);
    works_.push_back({&mlp,
                      0,
                      &shared_inputs_,
                      {0, n_},
                      &shared_hiddens_,
                      {0, n_},
                      shared_up_,
                      shared_results_});
  }

  // Two sets of rows in one parallel loop: fn(set, begin, end).
  template <typename Fn>
  void BothSets(int64_t first, int64_t second, double nanoseconds, const Fn& fn) {
    ops::ParallelItems(context_, first + second, nanoseconds, [&](int64_t begin, int64_t end) {
      if (begin < first) fn(0, begin, std::min(end, first));
      if (end > first) fn(1, std::max(begin, first) - first, end - first);
    });
  }

  void FillInputs() {
    const auto* x = call_.x.data<float>();
    const int64_t stride = call_.x.stride(0), cols = call_.x.dim(1);
    const int64_t rows =
        inputs_.ranges.empty() ? 0 : inputs_.ranges.back().begin + inputs_.ranges.back().count;
    const float* scaled = call_.scale_input ? ScaledInputs() : nullptr;
    BothSets(rows, call_.shared == nullptr ? 0 : n_,
             std::max(inputs_.fill_nanoseconds(), shared_inputs_.fill_nanoseconds()),
             [&](int set, int64_t begin, int64_t end) {
               if (set == 1) {
                 shared_inputs_.Fill(begin, end, [&](int64_t i) { return x + i * stride; });
               } else if (scaled != nullptr) {
                 inputs_.Fill(begin, end, [&](int64_t i) { return scaled + i * cols; });
               } else {
                 inputs_.Fill(begin, end, [&](int64_t i) {
                   return x + static_cast<int64_t>(grouped_.row[i]) * stride;
                 });
               }
             });
  }

  const float* ScaledInputs() {
    const int64_t cols = call_.x.dim(1);
    std::vector<float> factors(static_cast<std::size_t>(pairs_));
    for (int64_t i = 0; i < pairs_; ++i) factors[grouped_.pair[i]] = call_.weights.data<float>()[i];
    const Tensor scaled = context_.scratch->Get(DType::kF32, {pairs_, cols});
    ops::GatherRows(context_, call_.x, grouped_.row, scaled);
    ops::ScaleRows(context_, scaled, factors, scaled);
    return scaled.data<float>();
  }

  void Multiply(bool down) const {
    ProductList products;
    for (const Work& work : works_) {
      const int64_t width = UpWidth(*work.mlp), rows = work.mlp->up.rows();
      if (down) {
        products.Add(*work.hidden, work.hidden_range, work.mlp->down, work.expert, work.out, dim_);
        continue;
      }
      if (!work.mlp->gate.empty())
        products.Add(*work.in, work.in_range, work.mlp->gate, work.expert, work.up, width);
      products.Add(*work.in, work.in_range, work.mlp->up, work.expert, work.up + width - rows,
                   width);
    }
    products.Run(context_);
  }

  void Activate() {
    const auto rows = [](const ExpertMlp* mlp) { return mlp == nullptr ? 0 : mlp->up.rows(); };
    const int64_t widest = std::max(rows(call_.routed), rows(call_.shared));
    BothSets(pairs_, call_.shared == nullptr ? 0 : n_, 1.2 * static_cast<double>(widest),
             [&](int set, int64_t begin, int64_t end) {
               const ExpertMlp& mlp = set == 0 ? *call_.routed : *call_.shared;
               float* hidden = set == 0 ? hidden_ : shared_hidden_;
               ops::reference::ActivateExpert(*context_.table, mlp, set == 0 ? up_ : shared_up_,
                                              hidden, begin, end);
               (set == 0 ? hiddens_ : shared_hiddens_).Fill(begin, end, [&](int64_t i) {
                 return hidden + i * mlp.up.rows();
               });
             });
  }

  const OpContext& context_;
  const ExpertsCall& call_;
  const int64_t n_, dim_;
  int64_t pairs_ = 0;
  ops::reference::ExpertRows grouped_;
  Rows inputs_, hiddens_, shared_inputs_, shared_hiddens_;
  std::vector<Work> works_;
  float *up_ = nullptr, *hidden_ = nullptr, *results_ = nullptr;
  float *shared_up_ = nullptr, *shared_hidden_ = nullptr, *shared_results_ = nullptr;
};

int64_t RowBytes(const ExpertsCall& call, const ExpertMlp* mlp, int64_t slots) {
  if (mlp == nullptr) return 0;
  const int64_t operands = (call.x.dim(1) + mlp->up.rows()) / 2;  // most are narrower than f32
  const int64_t floats = operands + UpWidth(*mlp) + mlp->up.rows() + call.out.dim(1);
  return slots * floats * static_cast<int64_t>(sizeof(float));
}

void Run(const OpContext& context, const ExpertsCall& call) {
  const int64_t n = call.x.dim(0);
  const int64_t row_bytes =
      RowBytes(call, call.routed, call.routed == nullptr ? 0 : call.ids.dim(1)) +
      RowBytes(call, call.shared, 1);
  const int64_t most = std::max(kLeastPassRows, kPassBytes / row_bytes);
  for (int64_t begin = 0; begin < n; begin += most) {
    const int64_t end = std::min(n, begin + most);
    ExpertsCall part = call;
    part.x = call.x.Slice(0, begin, end);
    part.out = call.out.Slice(0, begin, end);
    if (call.routed != nullptr) {
      part.ids = call.ids.Slice(0, begin, end);
      part.weights = call.weights.Slice(0, begin, end);
    }
    if (!call.shared_weights.empty())
      part.shared_weights = call.shared_weights.Slice(0, begin, end);
    const ops::ScratchScope scope(context.scratch);
    Pass(context, part).Run();
  }
}

}  // namespace

void SetMoe(ops::OpTable& table) {
  table.moe.pack = Pack;
  table.moe.run = Run;
}

}  // namespace banyan::kernels
