// Vectors of the widest registers that the compiler may use, and the functions of gates.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>
#include <type_traits>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace rnn_lab {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, registers = 32;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, registers = 16;
#elif defined(__aarch64__)
constexpr int vector_bytes = 16, registers = 32;
#else
constexpr int vector_bytes = 16, registers = 16;
#endif

template <class T> struct Simd;
template <> struct Simd<float> {
  typedef float Vector __attribute__((vector_size(vector_bytes)));
  typedef int32_t Integers __attribute__((vector_size(vector_bytes)));
};
template <> struct Simd<double> {
  typedef double Vector __attribute__((vector_size(vector_bytes)));
  typedef int64_t Integers __attribute__((vector_size(vector_bytes)));
};

template <class T> using Vec = typename Simd<T>::Vector;
template <class T> constexpr int width = vector_bytes / int(sizeof(T));

// Memory whose first value is at the start of a cache line.
template <class T> struct Aligned {
  typedef T value_type;
  static constexpr std::align_val_t line{64};
  Aligned() = default;
  template <class U> Aligned(const Aligned<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(operator new(count * sizeof(T), line)); }
  void deallocate(T* memory, size_t) { operator delete(memory, line); }
  template <class U> bool operator==(const Aligned<U>&) const { return true; }
  template <class U> bool operator!=(const Aligned<U>&) const { return false; }
};
template <class T> using Memory = std::vector<T, Aligned<T>>;

// Read `count` values, at most a vector of them; the others are zero.
template <class T> inline Vec<T> load(const T* from, int64_t count) {
  Vec<T> x;
  if (count >= width<T>) {
    std::memcpy(&x, from, sizeof(x));
  } else {
    T part[width<T>] = {};
    std::memcpy(part, from, count * sizeof(T));
    std::memcpy(&x, part, sizeof(x));
  }
  return x;
}

template <class T> inline void store(T* to, Vec<T> x, int64_t count) {
  if (count >= width<T>)
    std::memcpy(to, &x, sizeof(x));
  else
    std::memcpy(to, &x, count * sizeof(T));
}

// Call `work(j, count)` for each vector of `units` values, which starts at j; `count` is a constant but
// for the last values if they do not fill a vector.
template <class T, class Work> inline void each_vector(int64_t units, Work work) {
  int64_t j = 0;
  for (; j + width<T> <= units; j += width<T>) work(j, std::integral_constant<int64_t, width<T>>{});
  if (j < units) work(j, units - j);
}

// Set the values from `count` on to zero.
template <class T> inline Vec<T> first_lanes(Vec<T> x, int64_t count) {
  if (count < width<T>)
    for (int i = 0; i < width<T>; i++)
      if (i >= count) x[i] = 0;
  return x;
}

// Add the values of a vector, in pairs.
template <class T, int lanes = width<T>> inline T sum_of_lanes(const T* x) {
  if constexpr (lanes == 1) {
    return *x;
  } else {
    typedef T Half __attribute__((vector_size(lanes / 2 * sizeof(T))));
    Half low, high;
    std::memcpy(&low, x, sizeof(low));
    std::memcpy(&high, x + lanes / 2, sizeof(high));
    low += high;
    T part[lanes / 2];
    std::memcpy(part, &low, sizeof(low));
    return sum_of_lanes<T, lanes / 2>(part);
  }
}

template <class T> inline Vec<T> clamp(Vec<T> x, T low, T high) {
  const Vec<T> lowest = Vec<T>{} + low, highest = Vec<T>{} + high;
  x = x < lowest ? lowest : x;  // comparisons with NaN are false: it stays
  return x > highest ? highest : x;
}

// e^x with a relative error of about 1e-7: 2^n by the exponent, the rest by a polynomial
// (coefficients of Cephes' expf, https://www.netlib.org/cephes).
inline Vec<float> exponential(Vec<float> x) {
  x = clamp<float>(x, -87.3f, 88.0f);
  const float round = 12582912.0f;  // 1.5 * 2^23: the sum has the nearest integer in its low bits
  const Vec<float> shifted = x * 1.44269504f + round, n = shifted - round;
  const Vec<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Simd<float>::Integers bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3f800000;
  Vec<float> scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return p * scale;
}

inline Vec<double> exponential(Vec<double> x) {
  for (int i = 0; i < width<double>; i++) x[i] = std::exp(x[i]);
  return x;
}

// x / y for y from 1e-30 on. A division takes as long as many products, where the CPU can estimate the
// inverse that is corrected here: the quotient has an error of few units in the last place.
inline Vec<float> quotient(Vec<float> x, Vec<float> y) {
#ifdef __AVX512F__
  Vec<float> inverse = (Vec<float>)_mm512_rcp14_ps((__m512)y);
  inverse = inverse + inverse * (1.0f - y * inverse);
  const Vec<float> result = x * inverse;
  return result + inverse * (x - y * result);
#else
  return x / y;
#endif
}

inline Vec<double> quotient(Vec<double> x, Vec<double> y) { return x / y; }

template <class T> inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = Vec<T>{} + T(1);
  return quotient(one, one + exponential(-x));
}

// Rational approximation with an error of few units in the last place (coefficients of Eigen's
// ptanh for floats, https://eigen.tuxfamily.org).
inline Vec<float> tangent(Vec<float> x) {
  x = clamp<float>(x, -7.90531110763549805f, 7.90531110763549805f);
  const Vec<float> y = x * x;
  Vec<float> p = y * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * y - 8.60467152213735e-11f;
  p = p * y + 5.12229709037114e-08f;
  p = p * y + 1.48572235717979e-05f;
  p = p * y + 6.37261928875436e-04f;
  p = p * y + 4.89352455891786e-03f;
  Vec<float> q = y * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * y + 2.26843463243900e-03f;
  q = q * y + 4.89352518554385e-03f;
  return quotient(x * p, q);
}

inline Vec<double> tangent(Vec<double> x) {
  for (int i = 0; i < width<double>; i++) x[i] = std::tanh(x[i]);
  return x;
}

}  // namespace rnn_lab
