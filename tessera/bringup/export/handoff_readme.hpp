#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace tessera::bringup {

/// The test of tt_transformers that a module's file belongs to: "test_mlp.py".
std::string test_of_module(const std::string& module);

/// The README of an export, from its manifest: how each file is used in tt_transformers' tests.
std::string handoff_readme(const nlohmann::json& manifest);

} // namespace tessera::bringup
