// Templates of the constructs that published families use, and the text that transformers makes of them.

#include "tessera/chat/chat_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::chat {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

const std::vector<Message> kTalk = {
    {"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Hello."}, {"user", " Bye "}};
const std::vector<Message> kQuestion = {{"user", "Hi"}};

std::string apply(const char* source, const std::vector<Message>& messages, bool prompt = true) {
  return ChatTemplate::parse(source, Value::Dict{{"bos_token", "<s>"}, {"eos_token", "</s>"}}).apply(messages, prompt);
}

// ChatML, as Qwen, Phi-4 and many others have it.
TEST(ChatTemplate, WritesChatMl) {
  const char* source =
      "{%- if messages[0]['role'] == 'system' %}\n"
      "    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n"
      "{%- else %}\n"
      "    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\n"
      "{%- endif %}\n"
      "{%- for message in messages %}\n"
      "    {%- if (message.role == \"user\") or (message.role == \"assistant\" and not message.tool_calls) %}\n"
      "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
      "    {%- endif %}\n"
      "{%- endfor %}\n"
      "{%- if add_generation_prompt %}\n"
      "    {{- '<|im_start|>assistant\\n' }}\n"
      "{%- endif %}\n";
  EXPECT_EQ(apply(source, kTalk),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello."
            "<|im_end|>\n<|im_start|>user\n Bye <|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(apply(source, kQuestion, false),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplate, WritesHeadersAsLlama3) {
  const char* source =
      "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
      "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 "
      "%}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
  EXPECT_EQ(
      apply(source, {{"user", " Hi "}}),
      "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(ChatTemplate, WritesInstructionsAsMistral) {
  const char* source =
      "{%- if messages[0][\"role\"] == \"system\" %}\n"
      "    {%- set system_message = messages[0][\"content\"] %}\n"
      "    {%- set loop_messages = messages[1:] %}\n"
      "{%- else %}\n"
      "    {%- set loop_messages = messages %}\n"
      "{%- endif %}\n"
      "{%- set user_messages = loop_messages | selectattr(\"role\", \"equalto\", \"user\") | list %}\n"
      "{%- set ns = namespace() %}\n"
      "{%- set ns.index = 0 %}\n"
      "{%- for message in loop_messages %}\n"
      "    {%- if (message[\"role\"] == \"user\") != (ns.index % 2 == 0) %}\n"
      "        {{- raise_exception(\"After the optional system message, conversation roles must alternate\") }}\n"
      "    {%- endif %}\n"
      "    {%- set ns.index = ns.index + 1 %}\n"
      "{%- endfor %}\n"
      "{{- bos_token }}\n"
      "{%- for message in loop_messages %}\n"
      "    {%- if message[\"role\"] == \"user\" %}\n"
      "        {%- if loop.last and system_message is defined %}\n"
      "            {{- \"[INST] \" + system_message + \"\\n\\n\" + message[\"content\"] + \"[/INST]\" }}\n"
      "        {%- else %}\n"
      "            {{- \"[INST] \" + message[\"content\"] + \"[/INST]\" }}\n"
      "        {%- endif %}\n"
      "    {%- elif message[\"role\"] == \"assistant\" %}\n"
      "        {{- \" \" + message[\"content\"]|trim + eos_token}}\n"
      "    {%- endif %}\n"
      "{%- endfor %}\n";
  EXPECT_EQ(apply(source, kTalk), "<s>[INST] Hi[/INST] Hello.</s>[INST] Be brief.\n\n Bye [/INST]");
  EXPECT_THAT(
      [&] {
        apply(source, {{"assistant", "?"}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("conversation roles must alternate")));
}

TEST(ChatTemplate, WritesTurnsAsGemmaAndRefusesASystemRole) {
  const char* source =
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% "
      "endif "
      "%}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "
      "raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if "
      "(message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif "
      "%}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if "
      "add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
  EXPECT_EQ(apply(source, kQuestion), "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_THAT([&] { apply(source, kTalk); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("System role not supported")));
}

TEST(ChatTemplate, LooksForTheLastQuestionAsQwen3) {
  const char* source =
      "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}\n"
      "{%- for message in messages[::-1] %}\n"
      "    {%- set index = (messages|length - 1) - loop.index0 %}\n"
      "    {%- if ns.multi_step_tool and message.role == \"user\" and message.content is string and "
      "not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}\n"
      "        {%- set ns.multi_step_tool = false %}\n"
      "        {%- set ns.last_query_index = index %}\n"
      "    {%- endif %}\n"
      "{%- endfor %}\n"
      "{{- ns.last_query_index }}\n"
      "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>' }}{%- endif %}\n";
  EXPECT_EQ(apply(source, kTalk), "3");
  EXPECT_EQ(apply(source, {{"user", "a"}, {"assistant", "b"}}), "0");
}

TEST(ChatTemplate, ComesFromTheCheckpointsFiles) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(ChatTemplate::of_checkpoint(folder.path()));
  folder.write("tokenizer_config.json", R"({"add_bos_token": true})");
  EXPECT_FALSE(ChatTemplate::of_checkpoint(folder.path()));
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>",
      "chat_template": [{"name": "tool_use", "template": "x"},
                        {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"}]})");
  EXPECT_EQ(ChatTemplate::of_checkpoint(folder.path())->apply(kQuestion, true), "<b>Hi<e>");
  folder.write("chat_template.jinja", "file: {{ messages[0].content }}{{ eos_token }}");
  EXPECT_EQ(ChatTemplate::of_checkpoint(folder.path())->apply(kQuestion, true), "file: Hi<e>");
}

TEST(ChatTemplate, RefusesBrokenFiles) {
  const test::TemporaryFolder folder;
  folder.write("tokenizer_config.json", "[]");
  EXPECT_THAT([&] { ChatTemplate::of_checkpoint(folder.path()); },
              ThrowsMessage<base::IoError>(HasSubstr("must hold a JSON object")));
  folder.write("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THAT([&] { ChatTemplate::of_checkpoint(folder.path()); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("must be a string")));
}

} // namespace
} // namespace tessera::chat
