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

// Weights of shape (gates * units, inputs). A panel has `vectors` vectors of units of every gate, the last
// one as many as there are.
template <class T, int gates, int vectors> struct Weights {
  static constexpr int per_panel = vectors * width<T>;
  int64_t units, inputs, panels;
  Memory<T> values;

  // `at(row, column)` returns a weight.
  template <class At> Weights(int64_t units, int64_t inputs, At at) : units(units), inputs(inputs) {
    panels = (units + per_panel - 1) / per_panel;
    values.assign(panels * inputs * gates * per_panel, T(0));
    for (int64_t panel = 0; panel < panels; panel++) {
      const int64_t first = panel * per_panel, count = vectors_from(first) * width<T>;
      T* to = values.data() + first * inputs * gates;
      for (int64_t k = 0; k < inputs; k++)
        for (int gate = 0; gate < gates; gate++, to += count)
          for (int64_t i = 0; i < std::min(count, units - first); i++) to[i] = at(gate * units + first + i, k);
    }
  }

  // Number of vectors of the panel that begins with a unit.
  int64_t vectors_from(int64_t unit) const {
    return std::min<int64_t>(vectors, (units - unit + width<T> - 1) / width<T>);
  }
};

// Rows that fit into the registers beside a panel's weights.
template <int columns> constexpr int max_rows = std::max(1, std::min(8, (registers - columns - 1) / columns));

// Compute `sums[i][j] = sum over k of x[i][k * stride] * weights[k][j]` for vectors j, added to what `sums`
// holds if `add` is set. It is a function of its own so that its sums are in registers.
template <class T, int columns, int rows>
__attribute__((noinline)) void add_products(const T* const* x, int64_t stride, const T* weights, int64_t steps,
                                            bool add, Vec<T>* result) {
  const T* from[rows];
  UNROLL
  for (int i = 0; i < rows; i++) from[i] = x[i];
  Vec<T> sums[rows][columns] = {};
  if (add) {
    UNROLL
    for (int i = 0; i < rows; i++) {
      UNROLL
      for (int j = 0; j < columns; j++) sums[i][j] = result[i * columns + j];
    }
  }
  for (int64_t k = 0; k < steps; k++, weights += columns * width<T>) {
    Vec<T> w[columns];
    UNROLL
    for (int j = 0; j < columns; j++) std::memcpy(&w[j], weights + j * width<T>, sizeof(w[j]));
    UNROLL
    for (int i = 0; i < rows; i++) {
      const T factor = from[i][k * stride];
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
inline void add_products(int64_t rows, const T* const* x, int64_t stride, const T* weights, int64_t steps,
                         bool add, Vec<T>* result) {
  if constexpr (most > 1) {
    if (rows < most) {
      add_products<T, columns, most - 1>(rows, x, stride, weights, steps, add, result);
      return;
    }
  }
  add_products<T, columns, most>(x, stride, weights, steps, add, result);
}

// The same for a number of vectors that is known when it is called.
template <class T, int gates, int vectors, int most>
inline void add_products(int64_t here, int64_t rows, const T* const* x, int64_t stride, const T* weights,
                         int64_t steps, bool add, Vec<T>* result) {
  if constexpr (vectors > 1) {
    if (here < vectors) {
      add_products<T, gates, vectors - 1, most>(here, rows, x, stride, weights, steps, add, result);
      return;
    }
  }
  add_products<T, gates * vectors, most>(rows, x, stride, weights, steps, add, result);
}

// Bytes of a panel's weights that are in the first cache while all rows read them.
constexpr int64_t panel_bytes = 32768;

// Compute the products of rows `x[i]` with the transposed weights. `finish(i, unit, sums)` receives a
// vector of sums of each gate for the units from `unit` on.
//
// The order in which a row's products are added does not depend on the other rows.
template <class T, int gates, int vectors, class Finish>
void multiply(const Weights<T, gates, vectors>& weights, const T* const* x, int64_t rows, Finish finish) {
  constexpr int columns = gates * vectors, most = max_rows<columns>;
  constexpr int64_t part = panel_bytes / (columns * vector_bytes);
  const int64_t blocks = (rows + most - 1) / most, inputs = weights.inputs;
  Memory<Vec<T>> sums((inputs > part ? blocks : 1) * most * columns);
  for (int64_t panel = 0; panel < weights.panels; panel++) {
    const int64_t unit = panel * weights.per_panel, here = weights.vectors_from(unit);
    const T* values = weights.values.data() + unit * inputs * gates;
    for (int64_t k = 0; k < inputs; k += part)
      for (int64_t b = 0; b < blocks; b++) {
        const int64_t first = b * rows / blocks, last = (b + 1) * rows / blocks;
        const T* from[most];
        for (int64_t i = first; i < last; i++) from[i - first] = x[i] + k;
        Vec<T>* of_block = &sums[inputs > part ? b * most * columns : 0];
        add_products<T, gates, vectors, most>(here, last - first, from, 1, values + k * gates * here * width<T>,
                                              std::min(part, inputs - k), k > 0, of_block);
        if (k + part < inputs) continue;
        for (int64_t row = first; row < last; row++)
          for (int64_t v = 0; v < here; v++) {
            Vec<T> of_gates[gates];
            for (int gate = 0; gate < gates; gate++)
              of_gates[gate] = of_block[((row - first) * gates + gate) * here + v];
            finish(row, unit + v * width<T>, of_gates);
          }
      }
  }
}

// The same for rows of a matrix, which are `stride` values apart.
template <class T, int gates, int vectors, class Finish>
void multiply(const Weights<T, gates, vectors>& weights, const T* x, int64_t stride, int64_t rows, Finish finish) {
  std::vector<const T*> each(rows);
  for (int64_t i = 0; i < rows; i++) each[i] = x + i * stride;
  multiply(weights, each.data(), rows, finish);
}

}  // namespace rnn_lab
