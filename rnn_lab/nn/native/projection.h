// Projection of the input of a recurrent layer, and its gradient, for some steps at a time: what one
// product writes is in the cache when the next one reads it.
#pragma once

#include "product.h"
#include "sequences.h"

namespace rnn_lab {

constexpr int64_t rows_at_a_time = 128;  // of a product with the input weights, at least

// What Python passes for it.
template <class T> struct Inputs {
  int64_t features;
  const T* weight;       // (gates * units, features)
  const T* bias;         // (gates * units); null: zero
  Sequences<const T> x;
  Sequences<T> of_x;     // gradient of x; null: not needed
};

// Projected input of some sequences, longest first.
template <class T, int gates, int vectors> struct Projection {
  const Batch& batch;
  const Inputs<T>& inputs;
  const Weights<T, gates, vectors>& weights;
  const std::vector<int64_t>& rows;
  int64_t last = 0;                // steps before this one are projected
  Memory<T> copies;                // of x, so that all are in the cache whatever their distance is
  std::vector<const T*> from;
  std::vector<T*> to;
  std::vector<int64_t> starts;     // of each step from `first` on in `to`
  int64_t first = 0;

  Projection(const Batch& batch, const Inputs<T>& inputs, const Weights<T, gates, vectors>& weights,
             const std::vector<int64_t>& rows)
      : batch(batch), inputs(inputs), weights(weights), rows(rows),
        copies(std::max<int64_t>(rows.size(), rows_at_a_time) * inputs.features) {}

  // Project a step of `active` sequences and some after it, unless this is done; `memory(i, step, index)`
  // returns where to write that of a sequence, which has the index among those of the same call.
  template <class At> void reach(int64_t step, int64_t active, At memory) {
    if (step < last) return;
    from.clear();
    to.clear();
    starts.clear();
    first = last;
    const int64_t F = inputs.features, H = weights.units;
    while (active > 0 && (to.empty() || int64_t(to.size()) + active <= rows_at_a_time)) {
      starts.push_back(to.size());
      for (int64_t i = 0; i < active; i++) {
        T* copy = &copies[to.size() * F];
        std::copy_n(inputs.x.at(batch.time_of(rows[i], last), rows[i]), F, copy);
        from.push_back(copy);
        to.push_back(memory(i, last, int64_t(to.size())));
      }
      last++;
      while (active > 0 && batch.length(rows[active - 1]) <= last) active--;
    }
    multiply(weights, from.data(), from.size(), [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      for (int gate = 0; gate < gates; gate++) {
        if (inputs.bias) sums[gate] += load(inputs.bias + gate * H + j, H - j);
        store<T>(to[i] + gate * H + j, sums[gate], H - j);
      }
    });
  }

  T* at(int64_t i, int64_t step) const { return to[starts[step - first] + i]; }
};

// Gradient of the input of some sequences.
template <class T> struct InputGradient {
  const Batch& batch;
  const Inputs<T>& inputs;
  const Weights<T, 1, 4>& weights;  // the transposed ones
  std::vector<const T*> from;
  std::vector<T*> to;

  InputGradient(const Batch& batch, const Inputs<T>& inputs, const Weights<T, 1, 4>& weights,
                const std::vector<int64_t>& rows)
      : batch(batch), inputs(inputs), weights(weights) {
    for (int64_t row : rows)
      for (int64_t time = batch.length(row); time < batch.time && inputs.of_x.values; time++)
        std::fill_n(inputs.of_x.at(time, row), inputs.features, T(0));
  }

  // Add a step; `grads` is the gradient of the projected input, which stays in memory.
  void add(int64_t row, int64_t step, const T* grads) {
    if (!inputs.of_x.values) return;
    from.push_back(grads);
    to.push_back(inputs.of_x.at(batch.time_of(row, step), row));
  }

  // Compute the gradients of all steps that were added, if they are many or the last ones.
  void finish(bool last) {
    if (from.empty() || (int64_t(from.size()) < rows_at_a_time && !last)) return;
    const int64_t F = inputs.features;
    multiply(weights, from.data(), from.size(), [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      store<T>(to[i] + j, sums[0], F - j);
    });
    from.clear();
    to.clear();
  }
};

// The weights for both.
template <class T, int gates, int vectors> Weights<T, gates, vectors> weights_of_inputs(const Inputs<T>& inputs, int64_t units) {
  return {units, inputs.features,
          [&](int64_t row, int64_t k) { return inputs.weight[row * inputs.features + k]; }};
}
template <class T> Weights<T, 1, 4> transposed_weights_of_inputs(const Inputs<T>& inputs, int64_t rows) {
  return {inputs.of_x.values ? inputs.features : 0, rows,
          [&](int64_t j, int64_t k) { return inputs.weight[k * inputs.features + j]; }};
}

}  // namespace rnn_lab
