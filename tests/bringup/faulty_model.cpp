#include "tests/bringup/faulty_model.hpp"

#include <cmath>
#include <limits>

#include "tessera/base/error.hpp"

namespace tessera::testing {

using tensor::HostTensor;

void FaultyModel::spoil(HostTensor& values) const {
  base::require<base::DeviceError>(fault_.kind != Fault::Kind::THROW, "[test] the kernel failed");
  double squares = 0.0;
  for (const float value : values.data) squares += static_cast<double>(value) * value;
  const auto spread = static_cast<float>(std::sqrt(squares / static_cast<double>(values.data.size())));
  for (std::size_t i = 0; i < values.data.size(); ++i) {
    float& value = values.data[i];
    switch (fault_.kind) {
      case Fault::Kind::SCALE:
        value *= 1.25F;
        break;
      case Fault::Kind::NOT_A_NUMBER:
        value = std::numeric_limits<float>::quiet_NaN();
        break;
      default:
        value += i * 2654435761u % 64 < 32 ? spread : -spread; // a fixed, ragged pattern
    }
  }
}

void FaultyModel::spoil_model(Fault::Path path, HostTensor& logits, nn::HiddenStates* hidden_states) const {
  if (fault_.path != path) return;
  spoil(logits);
  if (fault_.module == "logits" || hidden_states == nullptr) return;
  const auto layer = static_cast<std::size_t>(std::stoul(fault_.module.substr(7)));
  for (std::size_t i = layer + 1; i < hidden_states->size(); ++i) spoil((*hidden_states)[i]);
}

void FaultyModel::begin_sequence(std::int64_t user, std::int64_t length) {
  inner_.begin_sequence(user, length);
}

HostTensor FaultyModel::prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                                nn::HiddenStates* hidden_states) {
  HostTensor logits = inner_.prefill(user, ids, rows, hidden_states);
  const auto path = rows == nn::LogitsRows::ALL ? Fault::Path::PREFILL : Fault::Path::PREFILL_LAST;
  spoil_model(path, logits, hidden_states);
  return logits;
}

HostTensor FaultyModel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                               nn::HiddenStates* hidden_states) {
  HostTensor logits = inner_.decode(ids, positions, hidden_states);
  spoil_model(Fault::Path::DECODE, logits, hidden_states);
  if (execution_.trace) spoil_model(Fault::Path::TRACED, logits, hidden_states);
  if (execution_.two_queues) spoil_model(Fault::Path::TWO_QUEUES, logits, hidden_states);
  return logits;
}

HostTensor FaultyModel::run_module(std::string_view name, const HostTensor& x, nn::Phase phase) {
  HostTensor y = inner_.run_module(name, x, phase);
  const auto path = phase == nn::Phase::DECODE ? Fault::Path::DECODE_MODULE : Fault::Path::PREFILL_MODULE;
  if (fault_.path == path && fault_.module == name) spoil(y);
  return y;
}

} // namespace tessera::testing
