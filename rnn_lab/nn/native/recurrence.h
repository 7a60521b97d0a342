// All steps of a recurrent layer in one direction, and their gradient, for any cell.
//
// A cell has these members; all vectors hold some units of one sequence.
//
//   gates, states    number of gates, and of states; the first state is the output, which is
//                    multiplied by the recurrent weights
//   has_gates        whether the backward pass reads the gates
//   has_saved        whether it needs one more value of each unit and step
//   forward(j, u, sums, before, after, saved)
//                    one step of the units from `j` on: `u` is the projected input, which becomes the
//                    gates; `sums` the projected state; `before` and `after` are the states
//   restore(gates, before, after)
//                    compute the states after the step that `backward` reads, of which zoneout may have
//                    replaced those in memory
//   backward(j, gates, before, after, saved, grads)
//                    its gradient: `grads` are those of the states after the step and become those of
//                    the states before it, without the part through the recurrent weights; `gates`
//                    become the gradients of the projected input; `saved` that of the projected state
//                    of the last gate where this is not the same
#pragma once

#include "projection.h"

namespace rnn_lab {

constexpr int max_states = 4;

// What Python passes: sizes, and the memory of tensors. Those of (steps) are in the order of `Steps`,
// those of (time, batch) in that of `Batch::position`.
template <class T> struct Layer {
  int64_t units, threads;
  int64_t keep;                     // whether gates and `saved` are stored for the backward pass
  const T* weight;                  // recurrent weights, (gates * units, units)
  const T* parameters;              // other weights of the cell
  T* gates;                         // (steps, gates * units): gates, or gradients of the projected input
  T* saved;                         // (steps, units), see above; of cells without it, the last state without zoneout,
                                    // which the backward pass writes; null: not needed
  T* states[max_states];            // after all steps, (time, batch, units); null: not needed
  const T* first[max_states];       // before the first step, (batch, units)
  T* last[max_states];              // after the last step of each sequence
  const T* grads[max_states];       // of `states`; null: zero
  const T* grad_last[max_states];   // of `last`; null: zero
  T* grad_first[max_states];        // of `first`
  T* grad_parameters;               // of `parameters`, where the kernel of all steps computes it
  int64_t grad_time, grad_batch;    // of `grads`, values between steps and between sequences
  double zoneout;                   // share of the states before a step in those after it
  const T* masks[max_states];       // that share, 0 or 1, where it is drawn, (time, batch, units); null: it is not
  int64_t mask_step;                // values between the masks of two steps
  Inputs<T> inputs;

  // Gradient of a state after a step; null: zero.
  const T* grad(const Batch& batch, int s, int64_t row, int64_t step) const {
    return grads[s] ? Sequences<const T>{grads[s], grad_time, grad_batch}.at(batch.time_of(row, step), row) : nullptr;
  }

  // Share of a state before a step, of units from `j` on, in that after it.
  Vec<T> share(int s, int64_t row, int64_t step, int64_t j, int64_t count) const {
    return masks[s] ? load(masks[s] + step * mask_step + row * units + j, count) : Vec<T>{} + T(zoneout);
  }

  // A state before a step.
  const T* before(const Batch& batch, int s, int64_t row, int64_t step) const {
    return step ? states[s] + batch.position(row, step - 1) * units : first[s] + row * units;
  }
};

// The state after a step with zoneout; a share of one is exact, also of what is not finite.
template <class T> inline Vec<T> mix(Vec<T> share, Vec<T> before, Vec<T> after) {
  return share == Vec<T>{} + T(1) ? before : after + share * (before - after);
}

// Copy the initial states of some sequences, and set their states on padding to zero.
template <class T>
void start(const Batch& batch, const Layer<T>& layer, const std::vector<int64_t>& rows, int states,
           Memory<T>* now) {
  const int64_t H = layer.units, active = rows.size();
  for (int s = 0; s < states; s++) {
    now[s].resize(active * H);
    for (int64_t i = 0; i < active; i++) {
      std::copy_n(layer.first[s] + rows[i] * H, H, &now[s][i * H]);
      for (int64_t t = batch.length(rows[i]); t < batch.time && layer.states[s]; t++)
        std::fill_n(layer.states[s] + (t * batch.batch + rows[i]) * H, H, T(0));
    }
  }
}

// Copy the states of sequences that end with a step; return the number of those that continue. `now(s, i)`
// is the state of a sequence.
template <class T, class Now>
int64_t end(const Batch& batch, const Layer<T>& layer, const std::vector<int64_t>& rows, int states, int64_t step,
            int64_t active, Now now) {
  for (; active > 0 && batch.length(rows[active - 1]) == step + 1; active--)
    for (int s = 0; s < states; s++)
      std::copy_n(now(s, active - 1), layer.units, layer.last[s] + rows[active - 1] * layer.units);
  return active;
}

// Copy the gradients of final states of sequences that end with a step; return the number of those that
// have this step.
template <class T>
int64_t start_backward(const Batch& batch, const Layer<T>& layer, const std::vector<int64_t>& rows, int states,
                       int64_t step, int64_t active, Memory<T>* carried) {
  const int64_t H = layer.units, count = rows.size();
  for (; active < count && batch.length(rows[active]) == step + 1; active++)
    for (int s = 0; s < states; s++)
      if (layer.grad_last[s]) std::copy_n(layer.grad_last[s] + rows[active] * H, H, &carried[s][active * H]);
  return active;
}

template <class T, class Cell> void forward(const Batch& batch, const Layer<T>& layer, const Cell& cell) {
  constexpr int gates = Cell::gates, states = Cell::states, vectors = gates == 1 ? 4 : 1;
  const int64_t H = layer.units;
  const Steps steps(batch);
  const auto input_weights = weights_of_inputs<T, gates, vectors>(layer.inputs, H);
  const Weights<T, gates, vectors> weights(H, H, [&](int64_t row, int64_t k) { return layer.weight[row * H + k]; });
  const bool zoneout = layer.zoneout > 0, stores_more = layer.keep && Cell::has_saved;
  const bool stores_gates = layer.keep && (Cell::has_gates || zoneout);
  in_threads(batch, steps, layer.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    int64_t active = rows.size();
    Memory<T> now[states], buffer(stores_gates ? 0 : std::max(active, rows_at_a_time) * gates * H);
    start(batch, layer, rows, states, now);
    Projection<T, gates, vectors> projection(batch, layer.inputs, input_weights, rows);
    std::vector<const T*> output(active);
    std::vector<T*> new_output(active);
    for (int64_t i = 0; i < active; i++) output[i] = &now[0][i * H];
    const auto gates_at = [&](int64_t i, int64_t step, int64_t index) {
      return stores_gates ? layer.gates + steps.at(ranks[i], step) * gates * H : &buffer[index * gates * H];
    };
    for (int64_t step = 0; active > 0; step++) {
      projection.reach(step, active, gates_at);
      for (int64_t i = 0; i < active; i++) new_output[i] = layer.states[0] + batch.position(rows[i], step) * H;
      const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        const int64_t count = H - j;
        T* to = projection.at(i, step) + j;
        Vec<T> u[gates], before[states], after[states], saved{};
        for (int gate = 0; gate < gates; gate++) u[gate] = load(to + gate * H, count);
        before[0] = load(output[i] + j, count);
        for (int s = 1; s < states; s++) before[s] = load(&now[s][i * H + j], count);
        cell.forward(j, u, sums, before, after, saved);
        for (int s = 0; s < states && zoneout; s++)
          after[s] = mix<T>(layer.share(s, rows[i], step, j, count), before[s], after[s]);
        store<T>(new_output[i] + j, after[0], count);
        for (int s = 1; s < states; s++) {
          store<T>(&now[s][i * H + j], after[s], count);
          if (layer.states[s]) store<T>(layer.states[s] + batch.position(rows[i], step) * H + j, after[s], count);
        }
        if (stores_gates)
          for (int gate = 0; gate < gates; gate++) store<T>(to + gate * H, u[gate], count);
        if (stores_more) store<T>(layer.saved + steps.at(ranks[i], step) * H + j, saved, count);
      };
      multiply(weights, output.data(), active, finish);
      std::copy_n(new_output.begin(), active, output.begin());
      active = end(batch, layer, rows, states, step, active,
                   [&](int s, int64_t i) { return s ? &now[s][i * H] : output[i]; });
    }
  });
}

template <class T, class Cell> void backward(const Batch& batch, const Layer<T>& layer, const Cell& cell) {
  constexpr int gates = Cell::gates, states = Cell::states;
  const int64_t H = layer.units;
  const bool zoneout = layer.zoneout > 0, reads_gates = Cell::has_gates || zoneout;
  const Steps steps(batch);
  const Weights<T, 1, 4> weights(H, gates * H, [&](int64_t j, int64_t k) { return layer.weight[k * H + j]; });
  const Weights<T, 1, 4> input_weights = transposed_weights_of_inputs(layer.inputs, gates * H);
  in_threads(batch, steps, layer.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    const int64_t count = rows.size();
    Memory<T> carried[states], of_state(Cell::has_saved ? count * gates * H : 0);
    for (int s = 0; s < states; s++) carried[s].resize(count * H);
    InputGradient<T> of_x(batch, layer.inputs, input_weights, rows);
    std::vector<const T*> from(count);
    int64_t active = 0;
    for (int64_t step = batch.length(rows[0]) - 1; step >= 0; step--) {
      active = start_backward(batch, layer, rows, states, step, active, carried);
      for (int64_t i = 0; i < active; i++) {
        const int64_t at = steps.at(ranks[i], step), position = batch.position(rows[i], step) * H;
        T *u = layer.gates + at * gates * H, *saved = layer.saved + at * H;
        T* projected = Cell::has_saved ? &of_state[i * gates * H] : u;
        from[i] = projected;
        const T *previous[states], *given[states];
        for (int s = 0; s < states; s++) {
          previous[s] = layer.before(batch, s, rows[i], step);
          given[s] = layer.grad(batch, s, rows[i], step);
        }
        each_vector<T>(H, [&](int64_t j, auto left) {
          Vec<T> gate_values[gates], before[states], after[states], grads[states], kept[states], extra{};
          for (int gate = 0; gate < gates && reads_gates; gate++) gate_values[gate] = load(u + gate * H + j, left);
          for (int s = 0; s < states; s++) {
            before[s] = load(previous[s] + j, left);
            after[s] = load(layer.states[s] + position + j, left);
            grads[s] = load(&carried[s][i * H + j], left);
            if (given[s]) grads[s] += load(given[s] + j, left);
          }
          if (Cell::has_saved) extra = load(saved + j, left);
          if (zoneout) {
            cell.restore(gate_values, before, after);
            for (int s = 0; s < states; s++) {
              kept[s] = layer.share(s, rows[i], step, j, left) * grads[s];
              grads[s] -= kept[s];
            }
            if (!Cell::has_saved && layer.saved) store<T>(saved + j, after[states - 1], left);
          }
          cell.backward(j, gate_values, before, after, extra, grads);
          for (int gate = 0; gate < gates; gate++) {
            store<T>(u + gate * H + j, gate_values[gate], left);
            if (Cell::has_saved) store<T>(projected + gate * H + j, gate < gates - 1 ? gate_values[gate] : extra, left);
          }
          if (Cell::has_saved) store<T>(saved + j, extra, left);
          for (int s = 0; s < states && zoneout; s++) grads[s] += kept[s];
          for (int s = 0; s < states; s++) store<T>(&carried[s][i * H + j], grads[s], left);
        });
        of_x.add(rows[i], step, u);
      }
      const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        T* to = &carried[0][i * H + j];
        store<T>(to, load(to, H - j) + sums[0], H - j);
      };
      multiply(weights, from.data(), active, finish);
      of_x.finish(step == 0);
    }
    for (int s = 0; s < states; s++)
      for (int64_t i = 0; i < count; i++) std::copy_n(&carried[s][i * H], H, layer.grad_first[s] + rows[i] * H);
  });
}

}  // namespace rnn_lab

// The functions of a cell that Python calls, `rnn_lab_<name>_forward_<dtype>` and `..._backward_...`.
#define FUNCTIONS(name, Cell, T, dtype)                                                                         \
  extern "C" void rnn_lab_##name##_forward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) { \
    rnn_lab::forward(*batch, *layer, rnn_lab::Cell<T>(*layer));                                                  \
  }                                                                                                              \
  extern "C" void rnn_lab_##name##_backward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) { \
    rnn_lab::backward(*batch, *layer, rnn_lab::Cell<T>(*layer));                                                 \
  }
#define CELL(name, Cell) FUNCTIONS(name, Cell, float, float32) FUNCTIONS(name, Cell, double, float64)
