// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/plan_text.h"

#include <algorithm>
#include <map>
#include <set>

#include "tokamak/cli/plan_layers.h"
#include "tokamak/runtime/session_plan.h"

namespace tokamak::cli {
namespace {

std::string value_list(const engine::Plan& plan, const std::vector<int32_t>& values) {
  std::string out;
  for (int32_t i : values) {
    const engine::PlanValue& value = plan.values[static_cast<size_t>(i)];
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", value.name, value.type.text());
  }
  return out;
}

std::string attributes(const Json& json) {
  std::string out;
  for (const auto& [key, value] : json.items()) {
    std::string text = value.dump();
    out += fmt::format(" {}={}", key, text.size() > 40 ? text.substr(0, 37) + "..." : text);
  }
  return out;
}

/// A library names its algorithms by more digits than a line has room for.
std::string with_short_digits(std::string_view text) {
  constexpr size_t kLongest = 32, kKept = 12;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t end = std::min(text.find_first_not_of("0123456789abcdef", i), text.size());
    bool cut = end - i > kLongest;
    out += text.substr(i, cut ? kKept : std::max<size_t>(end - i, 1));
    if (cut) out += "...";
    i = std::max(end, i + 1);
  }
  return out;
}

std::string choice_text(const engine::PlanChoice& choice) {
  std::string out = choice.tactic;
  if (!choice.config.empty()) out += " " + with_short_digits(choice.config.dump());
  if (choice.us > 0) out += fmt::format(", {:.1f} us", choice.us);
  if (choice.share_of_floor() > 0)
    out += fmt::format(" ({:.0f} % of the floor)", 100 * choice.share_of_floor());
  return out;
}

/// The runner-up's name and times; empty where there is none.
std::string runner_up_text(const engine::PlanChoice& choice) {
  if (choice.runner_up.empty()) return {};
  std::string out =
      fmt::format("then {}, {:.1f} us", with_short_digits(choice.runner_up), choice.runner_up_us);
  if (choice.layer_us > 0)
    out += fmt::format("; {} {:.1f} against {:.1f} us",
                       choice.layer_decided() ? "the layer decided:" : "in a layer",
                       choice.layer_us,
                       choice.runner_up_layer_us);
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string headline(const engine::Engine& engine, const runtime::SessionPlan& planned) {
  const engine::Manifest& m = engine.manifest;
  return fmt::format(
      "{}: {}, {:.1f} M parameters, {} on {}; steps of up to {} tokens, {} sequences, {} pages of "
      "64 tokens, {} positions a sequence",
      m.model_name,
      m.family,
      static_cast<double>(m.num_parameters) / 1e6,
      tensor::dtype_name(m.dtype),
      m.fingerprint,
      planned.limits.max_tokens,
      planned.limits.max_sequences,
      planned.limits.num_pages,
      planned.max_seq_len);
}

/// What the engine holds of its kernels; nothing where they are part of the program.
std::string code_text(const engine::Engine& engine) {
  if (engine.code.empty()) return {};
  return fmt::format("\nmachine code in the engine: {} kernels, {}\n",
                     engine.code.size(),
                     engine::bytes_text(engine.code_bytes()));
}

constexpr std::string_view kStyle =
    ":root{color-scheme:light dark;--back:#fff;--ink:#222;--line:#ddd;--edge:#bbb;--bar:#4a7fb5;"
    "--product:#dbe9f6;--attention:#fbe3cd;--norm:#e2f0da}"
    "@media(prefers-color-scheme:dark){:root{--back:#14171c;--ink:#e3e6ec;--line:#2d333d;"
    "--edge:#4a5260;--bar:#5f97d0;--product:#1f3550;--attention:#4d3319;--norm:#23401f}}"
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 "
    "1em;color:var(--ink);background:var(--back)}"
    "h1{font-size:1.3em}h2{font-size:1.1em;margin-top:2em}h3{font-size:1em;margin:1.2em 0 .3em}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}pre{overflow-x:auto}"
    "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid var(--line)}"
    "td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".bar{background:var(--bar);height:1em;display:inline-block;min-width:1px}"
    ".row{display:flex;width:max-content;min-width:56em}"
    ".step{box-sizing:border-box;border:1px solid var(--edge);border-radius:4px;padding:.1em "
    ".3em;margin-right:1px;font-size:.75em;line-height:1.25;white-space:nowrap;"
    "min-width:max-content}"
    ".matmul,.norm_matmul{background:var(--product)}"
    ".attend,.attention,.rope_append,.rope_attend{background:var(--attention)}"
    ".rms_norm,.layer_norm,.add_rms_norm{background:var(--norm)}";

/// One step size of a kind of layer: its kernels as boxes, as wide as their share of the time.
/// Kernels without a choice were not timed: their boxes are as wide as their names.
std::string layer_row(const engine::Plan& plan, const LayerKind& kind, int64_t tokens) {
  double us = 0, timed_floor = 0;
  std::string boxes;
  for (const engine::PlanStep* step : kind.steps) {
    const engine::PlanChoice& choice = runtime::choice_for(*step, tokens);
    us += choice.us;
    timed_floor += choice.us > 0 ? choice.floor_us : 0;
    std::string label = escaped(step->op), width = "0 0 auto";
    if (choice.us > 0) {
      label += fmt::format("<br>{:.1f} us", choice.us);
      width = fmt::format("{:.3f} 1 0", choice.us);
    }
    if (choice.share_of_floor() > 0)
      label += fmt::format("<br><b>{:.0f} %</b>", 100 * choice.share_of_floor());
    std::string title = problem_text(plan, *step) + "\n" + choice_text(choice);
    if (!choice.runner_up.empty()) title += "\n" + runner_up_text(choice);
    boxes += fmt::format("<span class=\"step {}\" style=\"flex:{}\" title=\"{}\">{}</span>",
                         escaped(step->op),
                         width,
                         escaped(title),
                         label);
  }
  std::string total = us > 0 ? fmt::format("{:.1f} us", us) : "";
  std::string share = timed_floor > 0 ? fmt::format("{:.0f} %", 100 * timed_floor / us) : "";
  return fmt::format(
      "<tr><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td><div "
      "class=row>{}</div></td></tr>\n",
      tokens,
      total,
      share,
      boxes);
}

std::string layers_html(const engine::Plan& plan) {
  std::string out =
      "<h2>Kernels by layer</h2><p>A box is a kernel, as wide as its share of the time and at "
      "least "
      "as its text; its "
      "figures are microseconds and the share of the floor, which is what reading its weights, "
      "keys and values or computing its products takes at least. Kernels with nothing to choose "
      "are not timed. Where a choice was also timed within a whole layer, its text says what the "
      "layer took with it and with the runner-up.</p>\n";
  for (const LayerKind& kind : layer_kinds(plan)) {
    std::set<int64_t> sizes;
    for (const engine::PlanStep* step : kind.steps) {
      for (const engine::PlanChoice& choice : step->choices) sizes.insert(choice.max_tokens);
    }
    out += fmt::format(
        "<h3>{}</h3><table><tr><th>rows</th><th>timed</th><th>of the floor</th><th>kernels</th>"
        "</tr>\n",
        kind.title);
    for (int64_t tokens : sizes) out += layer_row(plan, kind, tokens);
    out += "</table>\n";
  }
  return out;
}

}  // namespace

std::string plan_text(const engine::Engine& engine, const runtime::SessionPlan& planned) {
  const engine::Plan& plan = engine.plan;
  std::string out = headline(engine, planned) + "\n\n";
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const engine::PlanStep& step = plan.steps[s];
    out += fmt::format("{:4} {} = {}({}){}\n",
                       s,
                       value_list(plan, step.outputs),
                       step.op,
                       value_list(plan, step.inputs),
                       attributes(step.attributes));
    out += fmt::format("       1 token: {}\n", choice_text(step.choices.front()));
    if (step.choices.size() > 1)
      out += fmt::format("       many: {}\n", choice_text(step.choices.back()));
  }
  out += "\nbytes\n" + runtime::byte_table_text(planned);
  return out + code_text(engine);
}

std::string kernels_text(const engine::Plan& plan) {
  std::map<std::string, std::pair<int, const engine::PlanStep*>> problems;
  std::vector<std::string> order;
  for (const engine::PlanStep& step : plan.steps) {
    std::string problem = problem_text(plan, step);
    auto& [count, first] = problems[problem];
    if (count++ == 0) {
      first = &step;
      order.push_back(problem);
    }
  }
  std::string out;
  for (const std::string& problem : order) {
    auto [count, step] = problems.at(problem);
    out += fmt::format("{} x {}\n", count, problem);
    for (const engine::PlanChoice& choice : step->choices) {
      out += fmt::format("  up to {:>4} rows: {}", choice.max_tokens, choice_text(choice));
      if (!choice.runner_up.empty()) out += fmt::format("   ({})", runner_up_text(choice));
      out += "\n";
    }
  }
  return out;
}

std::string plan_html(const engine::Engine& engine, const runtime::SessionPlan& planned) {
  const engine::Plan& plan = engine.plan;
  std::string out = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><title>{} "
      "plan</title><style>{}</style><h1>{}</h1>",
      escaped(engine.manifest.model_name),
      kStyle,
      escaped(headline(engine, planned)));
  out += "<h2>Memory</h2><table>";
  int64_t total = std::max<int64_t>(1, planned.memory.total_bytes());
  for (const engine::ByteRow& row : planned.memory.table) {
    out += fmt::format(
        "<tr><td>{}</td><td class=n>{}</td><td><span class=bar "
        "style=\"width:{:.1f}em\"></span></td></tr>",
        escaped(row.name),
        engine::bytes_text(row.bytes),
        40.0 * static_cast<double>(row.bytes) / static_cast<double>(total));
  }
  out += fmt::format("<tr><th>total</th><td class=n>{}</td><td></td></tr></table>",
                     engine::bytes_text(total));
  if (!engine.code.empty()) out += "<p>" + escaped(code_text(engine)) + "</p>";
  out += layers_html(plan);
  return out + "<h2>Tactics</h2><pre>" + escaped(kernels_text(plan)) + "</pre></html>\n";
}

}  // namespace tokamak::cli
