// SPDX-License-Identifier: Apache-2.0
// Scope: the one way in which a layer says which weights it has and what it needs of the cache.
// A declaration gives a logical name, a shape and what each dimension means; from it follow the
// lookup in the checkpoint, the shape check, packing for the device, and the counts of parameters
// and bytes. The meaning of the dimensions is kept for sharding: here every rank holds everything.
//
// Errors are remembered (the first one), declarations after it return empty weights, and the caller
// looks once at the end: status(). Used while a model is built, on one thread.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cache/cache_spec.h"
#include "ops/moe.h"
#include "tensor/buffer.h"
#include "tensor/packed_weight.h"
#include "weights/loader.h"

namespace banyan::nn {

// What a dimension of a weight runs over.
enum class Axis : uint8_t { kNone, kHidden, kHeads, kKvHeads, kIntermediate, kVocab };

// A vector or small matrix in f32, with its memory.
struct Vector {
  Tensor tensor;
  Buffer owned;
};

// A table of rows in the checkpoint's type.
struct Table {
  Tensor tensor;
  Buffer owned;
};

// y = x * W^T + b, where W may consist of several packed pieces whose outputs lie side by side:
// matrices stacked by the caller (q, k, v) are one piece where the checkpoint has them in one type.
class Linear {
 public:
  int64_t rows() const { return rows_; }
  bool empty() const { return pieces_.empty(); }
  // x: [n, cols] f32; out: [n, rows] f32.
  void Forward(const ops::OpContext& context, const Tensor& x, const Tensor& out) const;

 private:
  friend class Scope;
  struct Piece {
    PackedWeight weight;
    int64_t begin = 0;  // first row
  };
  // Rows of a matrix whose products are of x rounded per row to 8 bits, times a factor
  // (ops::RoundRows).
  struct Rounded {
    int64_t begin = 0, end = 0;
    float factor = 1.0f;
  };
  void ForwardRounded(const ops::OpContext& context, const Tensor& x, const Tensor& out) const;

  std::vector<Piece> pieces_;
  std::vector<Rounded> rounded_;  // all rows, or none
  std::vector<Buffer> owned_;     // loaded tensors that packing reads in place
  Vector bias_;
  int64_t rows_ = 0;
};

// One of the matrices that a Linear stacks: tensors NAME.weight and NAME.bias.
struct LinearPart {
  std::string name;
  int64_t rows = 0;
  Axis axis = Axis::kNone;
};

// One matrix of every expert of a layer, with what it reads in place.
struct ExpertLinear {
  ops::ExpertMatrix matrix;
  std::vector<Buffer> owned;
  Vector bias;
};

// What latent attention does to each head (nn/mla.h): `keys` [rank, key_dim] takes a query to the
// latent space, `values` [value_dim, rank] takes what was gathered there back, `expand` [key_dim,
// rank], where it is wanted, makes a key of a latent.
struct LatentHeads {
  ExpertLinear keys, values, expand;
};

struct LatentShape {
  int heads = 0, key_dim = 0, value_dim = 0, rank = 0;
};

class Scope {
 public:
  // Borrows everything for its own life. `compute` is what matrix products use, `cache` the type of
  // cached keys and values.
  Scope(const ops::OpContext& context, const weights::Checkpoint& checkpoint,
        weights::Loader& loader, DType compute, DType cache)
      : context_(context),
        checkpoint_(checkpoint),
        loader_(loader),
        compute_(compute),
        cache_(cache) {}

  Linear AddLinear(std::initializer_list<LinearPart> parts, int64_t cols, Axis cols_axis,
                   bool bias);
  // The same of one part, but the product with a plain type takes x in f32: for routers, where a
  // rounding would choose another expert.
  Linear AddRouter(const LinearPart& part, int64_t cols, bool bias);
  // Matrices NAME.weight [rows, cols] and vectors NAME.bias, one per expert.
  ExpertLinear AddExperts(std::span<const std::string> names, int64_t rows, int64_t cols,
                          bool bias);
  // From NAME.kv_b.weight [heads * (key_dim + value_dim), rank], each head's key rows before its
  // value rows, or from NAME.k_b.{h}.weight [rank, key_dim] and NAME.v_b.{h}.weight.
  LatentHeads AddLatentHeads(const std::string& name, const LatentShape& shape, bool expand);
  Vector AddVector(std::string_view name, Shape shape, Axis axis);
  // Vectors NAME.0PART, NAME.1PART, ... stacked in one of `shape` [items, dim].
  Vector AddVectors(std::string_view name, std::string_view part, Shape shape, Axis axis);
  bool Has(std::string_view name) const { return loader_.Has(name); }
  Table AddTable(std::string_view name, int64_t rows, int64_t cols, Axis rows_axis);
  // A product with a table that was declared before (tied output matrix): shares its bytes.
  // `bias` names a tensor, or is empty.
  Linear AddLinear(const Table& table, std::string_view bias);

  // Keys and values of one layer. Layers that see the same positions share a group; returns its
  // number.
  struct Sight {
    int window = 0;  // 0: all
    int chunk = 0;
  };
  int AddKv(int layer, int kv_heads, int key_dim, int value_dim, Sight sight);
  // One latent vector per position (and, where index_dim > 0, the key of a sparse attention's
  // index), which see all that lies before.
  int AddLatent(int layer, int dim, int index_dim = 0);
  // The state of a recurrence and the last inputs of its convolution, both per sequence; a size of
  // 0 leaves one out. Always f32: a rounding error would live on.
  struct StateSize {
    int heads = 0;
    int dim = 0;
  };
  int AddState(int layer, StateSize conv, StateSize state);

  const Status& status() const { return status_; }
  DType compute() const { return compute_; }
  int64_t num_parameters() const { return num_parameters_; }
  int64_t weight_bytes() const { return weight_bytes_; }
  int64_t looked_up_bytes() const { return looked_up_bytes_; }
  int64_t expert_bytes() const { return expert_bytes_; }
  int64_t expert_parameters() const { return expert_parameters_; }
  int64_t table_parameters() const { return table_parameters_; }
  const std::vector<CacheGroupSpec>& cache_groups() const { return cache_groups_; }

 private:
  // `counted`: the parts' own bytes are weights that nothing else has counted.
  void Pack(Linear& linear, std::vector<Tensor> parts, bool counted);
  template <typename T>
  bool Keep(const StatusOr<T>& result) {
    if (!result.ok() && status_.ok()) status_ = result.status();
    return result.ok();
  }
  int Group(const CacheGroupSpec& like);

  const ops::OpContext& context_;
  const weights::Checkpoint& checkpoint_;
  weights::Loader& loader_;
  DType compute_;
  DType cache_;
  Status status_;
  int64_t num_parameters_ = 0;
  int64_t weight_bytes_ = 0;
  int64_t looked_up_bytes_ = 0;
  int64_t expert_bytes_ = 0;
  int64_t expert_parameters_ = 0, table_parameters_ = 0;
  std::vector<CacheGroupSpec> cache_groups_;
};

}  // namespace banyan::nn
