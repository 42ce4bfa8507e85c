#pragma once

#include <nlohmann/json.hpp>

#include "tessera/runtime/observer.hpp"

namespace tessera::cli {

/// Lists the programs of one step of a model as JSON: attached to the device's queue while it lives, it collects until
/// `finish_step` is first called.
class OpListing : public runtime::QueueObserver {
 public:
  explicit OpListing(runtime::MeshDevice& device);
  ~OpListing() override;

  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) override;
  /// Ends the listing; waits for the queue. Later calls do nothing.
  void finish_step();

  /// An array of {name, scope, inputs, outputs, attributes, work, host_time_ns}.
  nlohmann::json take() { return std::move(ops_); }

 private:
  runtime::MeshDevice& device_;
  bool attached_ = true;
  nlohmann::json ops_ = nlohmann::json::array(); // written on the queue's thread while attached
};

} // namespace tessera::cli
