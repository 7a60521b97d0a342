// Product of a few rows with a weight matrix that many steps use: the weights are regrouped once,
// and what follows the product is applied to values in registers.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.h"

// Of loops over arrays of vectors, which only then are registers.
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace rnn_lab {

// Weights of shape (gates * units, inputs). A panel has `vectors` vectors of units of every gate.
template <class T, int gates, int vectors> struct Weights {
  static constexpr int per_panel = vectors * width<T>;
  int64_t units, inputs, panels;
  Memory<T> values;

  // `at(row, column)` returns a weight.
  template <class At> Weights(int64_t units, int64_t inputs, At at) : units(units), inputs(inputs) {
    panels = (units + per_panel - 1) / per_panel;
    values.assign(panels * inputs * gates * per_panel, T(0));
    T* to = values.data();
    for (int64_t panel = 0; panel < panels; panel++)
      for (int64_t k = 0; k < inputs; k++)
        for (int gate = 0; gate < gates; gate++)
          for (int64_t u = panel * per_panel; u < (panel + 1) * per_panel; u++, to++)
            if (u < units) *to = at(gate * units + u, k);
  }
};

// Rows that fit into the registers beside a panel's weights.
template <int columns> constexpr int max_rows = std::max(1, std::min(8, (registers - columns - 1) / columns));

// Compute `sums[i][j] = sum over k of x(i, k) * weights[k][j]` for vectors j; x(i, k) is at
// `i * row_stride + k * step_stride`. It is a function of its own so that its sums are in registers.
template <class T, int columns, int rows>
__attribute__((noinline)) void add_products(const T* x, int64_t row_stride, int64_t step_stride, const T* weights,
                                            int64_t steps, Vec<T>* result) {
  Vec<T> sums[rows][columns] = {};
  for (int64_t k = 0; k < steps; k++, x += step_stride, weights += columns * width<T>) {
    Vec<T> w[columns];
    UNROLL
    for (int j = 0; j < columns; j++) std::memcpy(&w[j], weights + j * width<T>, sizeof(w[j]));
    UNROLL
    for (int i = 0; i < rows; i++) {
      const T factor = x[i * row_stride];
      UNROLL
      for (int j = 0; j < columns; j++) sums[i][j] += w[j] * factor;
    }
  }
  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int j = 0; j < columns; j++) result[i * columns + j] = sums[i][j];
  }
}

// The same for a number of rows that is known when it is called, at most `most`.
template <class T, int columns, int most>
inline void add_products(int64_t rows, const T* x, int64_t row_stride, int64_t step_stride, const T* weights,
                         int64_t steps, Vec<T>* result) {
  if constexpr (most > 1) {
    if (rows < most) {
      add_products<T, columns, most - 1>(rows, x, row_stride, step_stride, weights, steps, result);
      return;
    }
  }
  add_products<T, columns, most>(x, row_stride, step_stride, weights, steps, result);
}

// Compute the product of `x`, (rows, inputs), with the transposed weights. `finish(row, unit, sums)`
// receives a vector of sums of each gate for the units from `unit` on.
//
// The order in which a row's products are added does not depend on the other rows.
template <class T, int gates, int vectors, class Finish>
void multiply(const Weights<T, gates, vectors>& weights, const T* x, int64_t stride, int64_t rows, Finish finish) {
  constexpr int columns = gates * vectors, most = max_rows<columns>;
  const int64_t blocks = (rows + most - 1) / most;
  Vec<T> sums[most * columns];
  for (int64_t panel = 0; panel < weights.panels; panel++) {
    const T* values = weights.values.data() + panel * weights.inputs * columns * width<T>;
    const int64_t unit = panel * weights.per_panel;
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t first = b * rows / blocks, last = (b + 1) * rows / blocks;
      add_products<T, columns, most>(last - first, x + first * stride, stride, 1, values, weights.inputs, sums);
      for (int64_t row = first; row < last; row++)
        for (int v = 0; v < vectors; v++) {
          if (unit + v * width<T> >= weights.units) break;
          Vec<T> of_gates[gates];
          for (int gate = 0; gate < gates; gate++)
            of_gates[gate] = sums[(row - first) * columns + gate * vectors + v];
          finish(row, unit + v * width<T>, of_gates);
        }
    }
  }
}

}  // namespace rnn_lab
