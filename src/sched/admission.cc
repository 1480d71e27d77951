// SPDX-License-Identifier: Apache-2.0
#include "sched/admission.h"

#include <algorithm>
#include <cmath>

namespace banyan {
namespace {

constexpr double kInitialRatio = 0.7;
constexpr double kLowestFactor = 0.14;
constexpr double kDecaySteps = 600;
constexpr double kStepsAfterRetraction = 20;

constexpr int32_t kMaxExpected = 4096;

}  // namespace

Position ExpectedOutputs(const Request& request) {
  return std::clamp(request.max_new_tokens() - request.outputs_planned(), 0, kMaxExpected);
}

NewTokenRatio::NewTokenRatio(double conservativeness)
    : initial_(std::min(kInitialRatio * conservativeness, 1.0)),
      lowest_(std::min(initial_ * kLowestFactor, 1.0)),
      decay_((initial_ - lowest_) / kDecaySteps),
      value_(initial_) {}

void NewTokenRatio::Decay() { value_ = std::max(value_ - decay_, lowest_); }

void NewTokenRatio::Raise(std::span<Request* const> running) {
  double made = 0, allowed = 1;
  for (const Request* request : running) {
    made += request->outputs() + kStepsAfterRetraction;
    allowed += request->max_new_tokens();
  }
  value_ = std::min(made / allowed, 1.0);
}

AdmissionBudget::AdmissionBudget(const PrefixCache& cache, std::span<Request* const> running,
                                 double ratio, int64_t chunk)
    : cache_(cache), ratio_(ratio), chunk_(chunk), reserved_(cache.kinds()) {
  for (const Request* request : running) {
    for (KindId kind = 0; kind < cache.kinds(); ++kind) {
      reserved_[kind] += Reserved(kind, *request);
    }
  }
}

int64_t AdmissionBudget::Reserved(KindId kind, const Request& running) const {
  const auto outputs =
      static_cast<Position>(std::ceil(static_cast<double>(ExpectedOutputs(running)) * ratio_));
  const Position growth = std::max<Position>(running.fill - running.planned, 0) + outputs;
  return Growth(kind, running.planned, growth);
}

int64_t AdmissionBudget::Growth(KindId kind, Position length, Position growth) const {
  const CacheKind& rule = cache_.kind(kind);
  return rule.PagesHeld(length + growth, chunk_) - rule.PagesHeld(length, chunk_);
}

bool AdmissionBudget::Fits(const Request& request, Position shared) const {
  for (KindId kind = 0; kind < cache_.kinds(); ++kind) {
    if (Missing(kind, request, shared) > 0) return false;
  }
  return true;
}

int64_t AdmissionBudget::Missing(KindId kind, const Request& request, Position shared) const {
  const Position length = static_cast<Position>(request.tokens.size()) + ExpectedOutputs(request);
  const int64_t need = Growth(kind, shared, length - shared) + 1;
  return need - (cache_.Available(kind) - reserved_[kind]);
}

int64_t AdmissionBudget::Occupied(KindId kind, const Request& running) const {
  return cache_.kind(kind).PagesHeld(running.planned, chunk_) + Reserved(kind, running);
}

void AdmissionBudget::Take(const Request& request) {
  const Position rest = static_cast<Position>(request.tokens.size()) - request.planned;
  for (KindId kind = 0; kind < cache_.kinds(); ++kind) {
    reserved_[kind] += Growth(kind, request.planned, rest + ExpectedOutputs(request));
  }
}

}  // namespace banyan
