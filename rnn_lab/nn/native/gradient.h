// Gradients of weight matrices that all steps use: products over the steps.
#pragma once

#include <vector>

#include "product.h"
#include "sequences.h"

namespace rnn_lab {

constexpr int64_t chunk = 128;  // steps at a time: their values stay in the cache
constexpr int64_t page = 4096;  // bytes
constexpr int outer_vectors = 4, outer_rows = max_rows<outer_vectors>;

// A weight matrix: the gradient of what it computes in a step, what it reads in each step, and where to
// write the gradient of the matrix, whose rows are `result_stride` values apart, and, unless null, of its
// biases.
template <class T> struct Factors {
  const T* grads;
  int64_t stride;  // between the gradients of two steps
  const std::vector<const T*>& inputs;
  int64_t columns, result_stride;
  T *result, *sums;
};

// Add the gradients of `count` steps, for rows from `from` to `to`.
template <class T> void add_sums(const T* grads, int64_t stride, int64_t from, int64_t to, int64_t count, T* sums) {
  constexpr int group = 8;  // vectors whose sums are in registers
  for (int64_t m = from; m < to; m += group * width<T>) {
    Vec<T> sum[group] = {};
    if (to - m >= group * width<T>) {
      for (int64_t k = 0; k < count; k++) {
        UNROLL
        for (int j = 0; j < group; j++) sum[j] += load(grads + k * stride + m + j * width<T>, width<T>);
      }
    } else {
      for (int64_t k = 0; k < count; k++)
        for (int j = 0; m + j * width<T> < to; j++)
          sum[j] += load(grads + k * stride + m + j * width<T>, to - m - j * width<T>);
    }
    for (int j = 0; j < group && m + j * width<T> < to; j++) {
      const int64_t n = m + j * width<T>;
      store<T>(sums + n, load(sums + n, to - n) + sum[j], to - n);
    }
  }
}

// Copy columns of `count` rows in panels of some vectors, of which the last may have less.
template <class T> void pack(const T* const* rows, int64_t count, int64_t columns, Memory<T>& packed) {
  constexpr int panel = outer_vectors * width<T>;
  packed.resize((columns + panel - 1) / panel * panel * chunk);
  for (int64_t k = 0; k < count; k++) {
    int64_t n = 0;
    for (; n + panel <= columns; n += panel) std::memcpy(&packed[n * chunk + k * panel], rows[k] + n, panel * sizeof(T));
    const int64_t rest = (columns - n + width<T> - 1) / width<T> * width<T>;
    for (T* to = packed.data() + n * chunk + k * rest; n < columns; n += width<T>, to += width<T>)
      store<T>(to, load(rows[k] + n, columns - n), width<T>);
  }
}

// Copy blocks of columns from `from` to `to` of `count` rows, which are `stride` values apart.
template <class T>
void pack_blocks(const T* rows, int64_t stride, int64_t from, int64_t to, int64_t count, Memory<T>& packed) {
  packed.resize((to - from + outer_rows - 1) / outer_rows * outer_rows * chunk);
  for (int64_t k = 0; k < count; k++) {
    int64_t m = from;
    for (T* block = &packed[k * outer_rows]; m + outer_rows <= to; m += outer_rows, block += chunk * outer_rows)
      std::memcpy(block, rows + k * stride + m, outer_rows * sizeof(T));
    std::copy_n(rows + k * stride + m, to - m, packed.data() + (m - from) * chunk + k * outer_rows);
  }
}

template <class T> struct Packed {
  Memory<T> left, right;
};

// Add the products of `count` steps for rows of the result; `packed` is memory.
template <class T>
void add_outer_products(const Factors<T>& f, int64_t from, int64_t to, int64_t start, int64_t count, Packed<T>& packed) {
  constexpr int panel = outer_vectors * width<T>;
  const T* grads = f.grads + start * f.stride;
  if (f.sums) add_sums(grads, f.stride, from, to, count, f.sums);
  pack(&f.inputs[start], count, f.columns, packed.right);
  // Values in different pages are slow to read for each panel again.
  const bool packs_left = f.stride * int64_t(sizeof(T)) >= page && f.columns > 2 * panel;
  if (packs_left) pack_blocks(grads, f.stride, from, to, count, packed.left);
  for (int64_t first = 0; first < f.columns; first += panel) {
    const int64_t columns = f.columns - first;
    const int64_t here = std::min<int64_t>(outer_vectors, (columns + width<T> - 1) / width<T>);
    for (int64_t row = from; row < to; row += outer_rows) {
      const int64_t rows = std::min<int64_t>(outer_rows, to - row);
      const T* left[outer_rows];
      for (int i = 0; i < outer_rows; i++)
        left[i] = (packs_left ? &packed.left[(row - from) * chunk] : grads + row) + i;
      Vec<T> products[outer_rows * outer_vectors];
      add_products<T, 1, outer_vectors, outer_rows>(here, rows, left, packs_left ? outer_rows : f.stride,
                                                    &packed.right[first * chunk], count, false, products);
      for (int64_t i = 0; i < rows; i++) {
        T* sums = f.result + (row + i) * f.result_stride + first;
        if (columns >= panel) {
          UNROLL
          for (int j = 0; j < outer_vectors; j++)
            store<T>(sums + j * width<T>, load(sums + j * width<T>, width<T>) + products[i * outer_vectors + j], width<T>);
        } else {
          for (int64_t j = 0; j < here; j++) {
            const int64_t n = j * width<T>;
            store<T>(sums + n, load(sums + n, columns - n) + products[i * here + j], columns - n);
          }
        }
      }
    }
  }
}

// Compute the gradients of matrices with the same number of rows, in several threads, each with some rows.
template <class T> void outer_products(int64_t threads, int64_t rows, const std::vector<Factors<T>>& all) {
  const int64_t blocks = (rows + outer_rows - 1) / outer_rows, steps = all[0].inputs.size();
  threads = std::max<int64_t>(1, std::min(threads, blocks));
  const auto work = [&](int64_t i) {
    const int64_t from = i * blocks / threads * outer_rows, to = std::min((i + 1) * blocks / threads * outer_rows, rows);
    for (const auto& f : all) {
      for (int64_t row = from; row < to; row++) std::fill_n(f.result + row * f.result_stride, f.columns, T(0));
      if (f.sums) std::fill_n(f.sums + from, to - from, T(0));
    }
    Packed<T> packed;
    for (int64_t start = 0; start < steps; start += chunk)
      for (const auto& factors : all)
        add_outer_products(factors, from, to, start, std::min(chunk, steps - start), packed);
  };
  in_parallel(threads, work);
}

}  // namespace rnn_lab
