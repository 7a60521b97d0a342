// All steps of a decoder whose recurrent layers read at each step what attention gave before, and their
// gradient, for any cell (see recurrence.h).
//
// Attention is before the layers, which read its context (Bahdanau et al., 2015,
// https://arxiv.org/abs/1409.0473), or after them, and they read the readout of the step before (input
// feeding; Luong et al., 2015, https://arxiv.org/abs/1508.04025).
#pragma once

#include "attention.h"
#include "recurrence.h"

namespace rnn_lab {

// A recurrent layer; tensors of `layer` have the shape (batch, steps, ...).
template <class T> struct DecoderLayer {
  Layer<T> layer;
  int64_t inputs, stride;  // features of the input that is computed by the loop, distance of rows of weights
  const T* weight;         // from it to the gates, (gates * units, inputs)
  const T* mask;           // by which it is multiplied, (batch, steps, inputs); null: dropout is off
};

// What Python passes.
template <class T> struct Decoder {
  int64_t batch, threads, depth;
  Attention<T> attention;
  const DecoderLayer<T>* layers;
  int64_t fed, stride;      // features of the readout, distance of rows of its weights; no features: attention before
  const T* readout_weight;  // from output and context, (fed, units + features)
  const T *first, *grad_last;  // readout before the first step, gradient of the last, (batch, fed); null: zero
  T* grad_first;               // gradient of `first`
  T* readouts;  // (batch, steps, fed): projected embeddings, readouts; or gradients of their pre-activations
};

constexpr int wide = 4;  // vectors of a panel of weights without gates

// Weights of a linear map of the rows of a matrix or, transposed, of its gradient.
template <class T> Weights<T, 1, wide> linear_map(int64_t rows, int64_t columns, int64_t stride, const T* weight) {
  return {rows, columns, [&](int64_t row, int64_t k) { return weight[row * stride + k]; }};
}
template <class T> Weights<T, 1, wide> gradient_map(int64_t rows, int64_t columns, int64_t stride, const T* weight) {
  return {columns, rows, [&](int64_t column, int64_t k) { return weight[k * stride + column]; }};
}

// Weights that multiply what a layer reads and its state; `cell` are its other parameters.
template <class T, class Cell> struct LayerWeights {
  static constexpr int vectors = Cell::gates == 1 ? 3 : 1;
  Cell cell;
  Weights<T, Cell::gates, vectors> input, state;

  explicit LayerWeights(const DecoderLayer<T>& l)
      : cell(l.layer), input(of(l.layer.units, l.inputs, l.stride, l.weight)),
        state(of(l.layer.units, l.layer.units, l.layer.units, l.layer.weight)) {}

  static Weights<T, Cell::gates, vectors> of(int64_t units, int64_t inputs, int64_t stride, const T* weight) {
    return {units, inputs, [&](int64_t row, int64_t k) { return weight[row * stride + k]; }};
  }
};

template <class T, class Cell> struct LayerGradientWeights {
  Cell cell;
  Weights<T, 1, wide> input, state;

  explicit LayerGradientWeights(const DecoderLayer<T>& l)
      : cell(l.layer), input(gradient_map(Cell::gates * l.layer.units, l.inputs, l.stride, l.weight)),
        state(gradient_map(Cell::gates * l.layer.units, l.layer.units, l.layer.units, l.layer.weight)) {}
};

// Copy a row of `size` values of every sequence; `at(i)` is that of sequence i.
template <class T, class At> void gather(int64_t count, int64_t size, At at, T* result) {
  for (int64_t i = 0; i < count; i++) std::copy_n(at(i), size, result + i * size);
}

// What all decoders and both passes have: which rows a thread processes, and where their steps are.
template <class T> struct DecoderRows {
  const Decoder<T>& d;
  const Attention<T>& a;
  const std::vector<int64_t>& rows;
  const int64_t count, units;

  DecoderRows(const Decoder<T>& d, const std::vector<int64_t>& rows)
      : d(d), a(d.attention), rows(rows), count(rows.size()), units(d.layers[0].layer.units) {}

  int64_t at(int64_t i, int64_t step) const { return rows[i] * a.steps + step; }
};

template <class T, class Cell> struct DecoderForward : DecoderRows<T> {
  using DecoderRows<T>::d, DecoderRows<T>::a, DecoderRows<T>::rows, DecoderRows<T>::count, DecoderRows<T>::units;
  using DecoderRows<T>::at;
  static constexpr int gates = Cell::gates, states = Cell::states;
  Memory<T> input, next;                // what a layer reads; its new output
  std::vector<Memory<T>> now;           // states of all layers

  DecoderForward(const Decoder<T>& d, const std::vector<int64_t>& rows)
      : DecoderRows<T>(d, rows), next(count * units), now(d.depth * states) {
    input.resize(count * std::max({units, a.features, d.fed}));
    for (int64_t l = 0; l < d.depth; l++)
      for (int s = 0; s < states; s++) {
        now[l * states + s].resize(count * units);
        gather(count, units, [&](int64_t i) { return d.layers[l].layer.first[s] + rows[i] * units; },
               now[l * states + s].data());
      }
    if (d.fed) gather(count, d.fed, [&](int64_t i) { return d.first + rows[i] * d.fed; }, input.data());
  }

  const T* output() const { return now[(d.depth - 1) * states].data(); }

  // Attend with the output of the last layer as query.
  void apply_attention(int64_t step, const Weights<T, 1, wide>& query) {
    if (a.weight) {
      const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        store<T>(a.queries + at(i, step) * a.size + j, sums[0] + load(a.bias + j, a.size - j), a.size - j);
      };
      multiply(query, output(), units, count, finish);
    } else {
      for (int64_t i = 0; i < count; i++) std::copy_n(output() + i * units, units, a.queries + at(i, step) * units);
    }
    for (int64_t i = 0; i < count; i++) attend(a, rows[i], step);
    gather(count, a.features, [&](int64_t i) { return a.contexts + at(i, step) * a.features; }, input.data());
  }

  void apply_layer(int64_t step, int64_t index, const LayerWeights<T, Cell>& weights) {
    const DecoderLayer<T>& l = d.layers[index];
    const Layer<T>& layer = l.layer;
    if (l.mask)
      for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < l.inputs; j++) input[i * l.inputs + j] *= l.mask[at(i, step) * l.inputs + j];
    const auto add_input = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      T* to = layer.gates + at(i, step) * gates * units + j;
      for (int gate = 0; gate < gates; gate++)
        store<T>(to + gate * units, load(to + gate * units, units - j) + sums[gate], units - j);
    };
    multiply(weights.input, input.data(), l.inputs, count, add_input);
    Memory<T>* before = &now[index * states];
    const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      const int64_t left = units - j, to = at(i, step);
      T* gate_values = layer.gates + to * gates * units + j;
      Vec<T> u[gates], old[states], after[states], saved{};
      for (int gate = 0; gate < gates; gate++) u[gate] = load(gate_values + gate * units, left);
      for (int s = 0; s < states; s++) old[s] = load(&before[s][i * units + j], left);
      weights.cell.forward(j, u, sums, old, after, saved);
      store<T>(&next[i * units + j], after[0], left);
      for (int s = 1; s < states; s++) store<T>(&before[s][i * units + j], after[s], left);
      for (int s = 0; s < states; s++)
        if (layer.states[s]) store<T>(layer.states[s] + to * units + j, after[s], left);
      if (!layer.keep) return;
      for (int gate = 0; gate < gates; gate++) store<T>(gate_values + gate * units, u[gate], left);
      if (Cell::has_saved) store<T>(layer.saved + to * units + j, saved, left);
    };
    multiply(weights.state, before[0].data(), units, count, finish);
    before[0].swap(next);
    std::copy_n(before[0].data(), count * units, input.data());
  }

  // Compute the readout of output and context, which the first layer reads at the next step.
  void apply_readout(int64_t step, const Weights<T, 1, wide>& of_output, const Weights<T, 1, wide>& of_context) {
    const auto add_output = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      T* to = d.readouts + at(i, step) * d.fed + j;
      store<T>(to, load(to, d.fed - j) + sums[0], d.fed - j);
    };
    multiply(of_output, output(), units, count, add_output);
    const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      T* to = d.readouts + at(i, step) * d.fed + j;
      store<T>(to, tangent(load(to, d.fed - j) + sums[0]), d.fed - j);
    };
    multiply(of_context, input.data(), a.features, count, finish);
    gather(count, d.fed, [&](int64_t i) { return d.readouts + at(i, step) * d.fed; }, input.data());
  }

  void end() {
    for (int64_t l = 0; l < d.depth; l++)
      for (int s = 0; s < states; s++)
        for (int64_t i = 0; i < count; i++)
          std::copy_n(&now[l * states + s][i * units], units, d.layers[l].layer.last[s] + rows[i] * units);
  }
};

template <class T, class Cell> struct DecoderBackward : DecoderRows<T> {
  using DecoderRows<T>::d, DecoderRows<T>::a, DecoderRows<T>::rows, DecoderRows<T>::count, DecoderRows<T>::units;
  using DecoderRows<T>::at;
  static constexpr int gates = Cell::gates, states = Cell::states;
  Memory<T> of_input, of_state;      // gradients of the projections of a step
  Memory<T> of_fed;                  // gradient of the readout of the step before
  std::vector<Memory<T>> carried;    // gradients of states of all layers

  DecoderBackward(const Decoder<T>& d, const std::vector<int64_t>& rows)
      : DecoderRows<T>(d, rows), of_state(count * gates * units), of_fed(count * d.fed), carried(d.depth * states) {
    of_input.resize(count * std::max({gates * units, a.size, d.fed}));
    for (int64_t l = 0; l < d.depth; l++)
      for (int s = 0; s < states; s++) {
        const T* grad = d.layers[l].layer.grad_last[s];
        carried[l * states + s].resize(count * units);
        if (grad)
          gather(count, units, [&](int64_t i) { return grad + rows[i] * units; }, carried[l * states + s].data());
      }
    if (d.fed && d.grad_last)
      gather(count, d.fed, [&](int64_t i) { return d.grad_last + rows[i] * d.fed; }, of_fed.data());
  }

  T* of_output() { return carried[(d.depth - 1) * states].data(); }

  // Add sums to a row of each sequence.
  template <class To> auto adding(int64_t size, To to) {
    return [=](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      T* at = to(i) + j;
      store<T>(at, load(at, size - j) + sums[0], size - j);
    };
  }

  auto adding_to_output() {
    T* to = of_output();
    return adding(units, [=, H = units](int64_t i) { return to + i * H; });
  }
  auto adding_to_context(int64_t step) {
    return adding(a.features, [this, step](int64_t i) { return a.of_contexts + at(i, step) * a.features; });
  }

  void attention_backward(int64_t step, const Weights<T, 1, wide>& query) {
    for (int64_t i = 0; i < count; i++) attend_backward(a, rows[i], step);
    const auto of_query = [&](int64_t i) { return a.of_queries + at(i, step) * a.size; };
    if (a.weight) {
      gather(count, a.size, of_query, of_input.data());
      multiply(query, of_input.data(), a.size, count, adding_to_output());
    } else {
      for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < units; j++) of_output()[i * units + j] += of_query(i)[j];
    }
  }

  void readout_backward(int64_t step, const Weights<T, 1, wide>& to_output, const Weights<T, 1, wide>& to_context) {
    for (int64_t i = 0; i < count; i++) {
      T* readout = d.readouts + at(i, step) * d.fed;
      for (int64_t j = 0; j < d.fed; j++) readout[j] = of_fed[i * d.fed + j] * (T(1) - readout[j] * readout[j]);
      std::copy_n(readout, d.fed, &of_input[i * d.fed]);
    }
    multiply(to_output, of_input.data(), d.fed, count, adding_to_output());
    multiply(to_context, of_input.data(), d.fed, count, adding_to_context(step));
  }

  void cell_backward(int64_t step, int64_t index, const Cell& cell) {
    const Layer<T>& layer = d.layers[index].layer;
    for (int64_t i = 0; i < count; i++) {
      const int64_t to = at(i, step);
      T *u = layer.gates + to * gates * units, *saved = layer.saved + to * units;
      const T* previous[states];
      for (int s = 0; s < states; s++)
        previous[s] = step ? layer.states[s] + (to - 1) * units : layer.first[s] + rows[i] * units;
      each_vector<T>(units, [&](int64_t j, auto left) {
        Vec<T> gate_values[gates], before[states], after[states], grads[states], extra{};
        for (int gate = 0; gate < gates; gate++) gate_values[gate] = load(u + gate * units + j, left);
        for (int s = 0; s < states; s++) {
          before[s] = load(previous[s] + j, left);
          after[s] = load(layer.states[s] + to * units + j, left);
          grads[s] = load(&carried[index * states + s][i * units + j], left);
          if (layer.grads[s]) grads[s] += load(layer.grads[s] + to * units + j, left);
        }
        if (Cell::has_saved) extra = load(saved + j, left);
        cell.backward(j, gate_values, before, after, extra, grads);
        for (int gate = 0; gate < gates; gate++) {
          const bool last = Cell::has_saved && gate == gates - 1;
          store<T>(u + gate * units + j, gate_values[gate], left);
          store<T>(&of_input[(i * gates + gate) * units + j], gate_values[gate], left);
          store<T>(&of_state[(i * gates + gate) * units + j], last ? extra : gate_values[gate], left);
        }
        if (Cell::has_saved) store<T>(saved + j, extra, left);
        for (int s = 0; s < states; s++) store<T>(&carried[index * states + s][i * units + j], grads[s], left);
      });
    }
  }

  void layer_backward(int64_t step, int64_t index, const LayerGradientWeights<T, Cell>& weights) {
    const DecoderLayer<T>& l = d.layers[index];
    cell_backward(step, index, weights.cell);
    T* state = carried[index * states].data();
    multiply(weights.state, of_state.data(), gates * units, count,
             adding(units, [=, H = units](int64_t i) { return state + i * H; }));
    const auto input = [&](auto finish) { multiply(weights.input, of_input.data(), gates * units, count, finish); };
    if (index > 0) {
      T* lower = carried[(index - 1) * states].data();
      input([&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        const int64_t left = units - j;
        if (l.mask) sums[0] *= load(l.mask + at(i, step) * units + j, left);
        store<T>(lower + i * units + j, load(lower + i * units + j, left) + sums[0], left);
      });
    } else if (d.fed) {
      input([&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        store<T>(&of_fed[i * d.fed + j], sums[0], d.fed - j);
      });
    } else {
      input(adding_to_context(step));
    }
  }

  void end() {
    for (int64_t l = 0; l < d.depth; l++)
      for (int s = 0; s < states; s++)
        for (int64_t i = 0; i < count; i++)
          std::copy_n(&carried[l * states + s][i * units], units, d.layers[l].layer.grad_first[s] + rows[i] * units);
    for (int64_t i = 0; i < count; i++) {
      if (d.fed) std::copy_n(&of_fed[i * d.fed], d.fed, d.grad_first + rows[i] * d.fed);
      source_gradient(a, rows[i]);
    }
  }
};

// Call `work(rows)` in several threads, each with some rows of the batch.
template <class T, class Work> void in_decoder_threads(const Decoder<T>& d, Work work) {
  in_threads(Batch{d.attention.time, d.batch, d.attention.lengths, 0}, d.threads, work);
}

template <class T, class Cell> void decode(const Decoder<T>& d) {
  const Attention<T>& a = d.attention;
  const int64_t units = d.layers[0].layer.units;
  std::vector<LayerWeights<T, Cell>> layers(d.layers, d.layers + d.depth);
  const auto query = linear_map(a.weight ? a.size : 0, units, units, a.weight);
  const auto of_output = linear_map(d.fed, units, d.stride, d.readout_weight);
  const auto of_context = linear_map(d.fed, a.features, d.stride, d.readout_weight + units);
  in_decoder_threads(d, [&](const std::vector<int64_t>& rows) {
    DecoderForward<T, Cell> pass(d, rows);
    for (int64_t step = 0; step < a.steps; step++) {
      if (!d.fed) pass.apply_attention(step, query);
      for (int64_t l = 0; l < d.depth; l++) pass.apply_layer(step, l, layers[l]);
      if (!d.fed) continue;
      pass.apply_attention(step, query);
      pass.apply_readout(step, of_output, of_context);
    }
    pass.end();
  });
}

template <class T, class Cell> void decode_backward(const Decoder<T>& d) {
  const Attention<T>& a = d.attention;
  const int64_t units = d.layers[0].layer.units;
  std::vector<LayerGradientWeights<T, Cell>> layers(d.layers, d.layers + d.depth);
  const auto query = gradient_map(a.weight ? a.size : 0, units, units, a.weight);
  const auto to_output = gradient_map(d.fed, units, d.stride, d.readout_weight);
  const auto to_context = gradient_map(d.fed, a.features, d.stride, d.readout_weight + units);
  in_decoder_threads(d, [&](const std::vector<int64_t>& rows) {
    DecoderBackward<T, Cell> pass(d, rows);
    for (int64_t step = a.steps - 1; step >= 0; step--) {
      if (d.fed) {
        pass.readout_backward(step, to_output, to_context);
        pass.attention_backward(step, query);
      }
      for (int64_t l = d.depth - 1; l >= 0; l--) pass.layer_backward(step, l, layers[l]);
      if (!d.fed) pass.attention_backward(step, query);
    }
    pass.end();
  });
}

}  // namespace rnn_lab

// The functions that Python calls, `rnn_lab_<name>_decoder_forward_<dtype>` and `..._backward_...`.
#define DECODER_FUNCTIONS(name, Cell, T, dtype)                                                \
  extern "C" void rnn_lab_##name##_decoder_forward_##dtype(const rnn_lab::Decoder<T>* decoder) {  \
    rnn_lab::decode<T, rnn_lab::Cell<T>>(*decoder);                                            \
  }                                                                                            \
  extern "C" void rnn_lab_##name##_decoder_backward_##dtype(const rnn_lab::Decoder<T>* decoder) { \
    rnn_lab::decode_backward<T, rnn_lab::Cell<T>>(*decoder);                                   \
  }
#define DECODER(name, Cell) DECODER_FUNCTIONS(name, Cell, float, float32) DECODER_FUNCTIONS(name, Cell, double, float64)
