// Gradient of a weight matrix that all steps use: a product over the steps.
#pragma once

#include <vector>

#include "product.h"
#include "sequences.h"

namespace rnn_lab {

constexpr int64_t chunk = 128;  // steps at a time: their values stay in the cache
constexpr int outer_vectors = 3, outer_rows = max_rows<outer_vectors>;

// Compute `result[m][n] = sum over k of a(k)[m] * b(k)[n]` for rows m from `from` to `to`, and
// `sums[m] = sum over k of a(k)[m]` unless it is null.
template <class T, class A, class B>
void rows_of_outer_product(int64_t from, int64_t to, int64_t columns, int64_t steps, A a, B b, T* result, T* sums) {
  constexpr int panel = outer_vectors * width<T>;
  const int64_t blocks = (to - from + outer_rows - 1) / outer_rows, panels = (columns + panel - 1) / panel;
  Memory<T> left(blocks * chunk * outer_rows), right(panels * chunk * panel), total(to - from);
  for (int64_t start = 0; start < steps; start += chunk) {
    const int64_t count = std::min(chunk, steps - start);
    for (int64_t k = 0; k < count; k++) {
      const T* row = a(start + k) + from;
      for (int64_t m = 0; m < to - from; m += width<T>)
        store<T>(&total[m], load(&total[m], to - from - m) + load(row + m, to - from - m), to - from - m);
      for (int64_t block = 0; block < blocks; block++) {
        T* packed = &left[(block * chunk + k) * outer_rows];
        const int64_t rows = to - from - block * outer_rows;
        if (rows >= outer_rows)
          std::memcpy(packed, row + block * outer_rows, outer_rows * sizeof(T));
        else
          std::memcpy(packed, row + block * outer_rows, rows * sizeof(T));
      }
      const T* column = b(start + k);
      for (int64_t p = 0; p < panels; p++)
        for (int j = 0; j < outer_vectors; j++) {
          const int64_t n = p * panel + j * width<T>;
          T* packed = &right[(p * chunk + k) * panel + j * width<T>];
          if (n < columns) store<T>(packed, load(column + n, columns - n), width<T>);
        }
    }
    for (int64_t p = 0; p < panels; p++)
      for (int64_t block = 0; block < blocks; block++) {
        Vec<T> products[outer_rows * outer_vectors];
        add_products<T, outer_vectors, outer_rows>(&left[block * chunk * outer_rows], 1, outer_rows,
                                                   &right[p * chunk * panel], count, products);
        for (int64_t i = 0; i < std::min<int64_t>(outer_rows, to - from - block * outer_rows); i++)
          for (int j = 0; j < outer_vectors; j++) {
            const int64_t n = p * panel + j * width<T>;
            if (n >= columns) break;
            T* sum = result + (from + block * outer_rows + i) * columns + n;
            const Vec<T> product = products[i * outer_vectors + j];
            store<T>(sum, start ? load(sum, columns - n) + product : product, columns - n);
          }
      }
  }
  if (sums) std::copy_n(total.begin(), to - from, sums + from);
}

// The same in several threads, each with some rows of the result.
template <class T, class A, class B>
void outer_product(int64_t threads, int64_t rows, int64_t columns, int64_t steps, A a, B b, T* result, T* sums) {
  const int64_t blocks = (rows + outer_rows - 1) / outer_rows;
  threads = std::max<int64_t>(1, std::min(threads, blocks));
  const auto work = [&](int64_t i) {
    const int64_t from = i * blocks / threads * outer_rows, to = (i + 1) * blocks / threads * outer_rows;
    rows_of_outer_product(from, std::min(to, rows), columns, steps, a, b, result, sums);
  };
  in_parallel(threads, work);
}

}  // namespace rnn_lab
