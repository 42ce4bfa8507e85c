#pragma once

#include "tessera/bringup/stage.hpp"

namespace tessera::bringup {

std::vector<Row> baseline(const StageContext& context);
std::vector<Row> decode_modules(const StageContext& context);
std::vector<Row> decoder_layer(const StageContext& context);
std::vector<Row> full_decode(const StageContext& context);
std::vector<Row> decode_as_prefill(const StageContext& context);
std::vector<Row> prefill_modules(const StageContext& context);
std::vector<Row> full_model(const StageContext& context);
std::vector<Row> teacher_forcing(const StageContext& context);
std::vector<Row> generation(const StageContext& context);
std::vector<Row> trace_and_queues(const StageContext& context);
std::vector<Row> data_parallel(const StageContext& context);
std::vector<Row> tensor_parallel(const StageContext& context);
std::vector<Row> performance(const StageContext& context);

std::int64_t baseline_work(const StageContext& context);
std::int64_t decode_modules_work(const StageContext& context);
std::int64_t decoder_layer_work(const StageContext& context);
std::int64_t full_decode_work(const StageContext& context);
std::int64_t decode_as_prefill_work(const StageContext& context);
std::int64_t prefill_modules_work(const StageContext& context);
std::int64_t full_model_work(const StageContext& context);
std::int64_t teacher_forcing_work(const StageContext& context);
std::int64_t generation_work(const StageContext& context);
std::int64_t trace_and_queues_work(const StageContext& context);
std::int64_t data_parallel_work(const StageContext& context);
std::int64_t tensor_parallel_work(const StageContext& context);
std::int64_t performance_work(const StageContext& context);

} // namespace tessera::bringup
