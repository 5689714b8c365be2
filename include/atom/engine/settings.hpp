#pragma once
// Settings: the table of everything that a user may set, with its names on the command line, in the environment and in files.
// One idea: one row per setting, and everything follows from it: flags and their help, variables, settings files, checks,
// documentation, and the sentence that refuses what is not built. Nothing is ignored: a value either works or is refused.
// To extend: a row in src/engine/settings_table.cpp.
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "atom/engine/engine_args.hpp"

namespace atom::engine {

enum class SettingGroup : unsigned char { model, scheduling, compilation, parallel, speculative, process, kernels, not_built };
std::string_view title_of(SettingGroup group);

enum class SettingType : unsigned char { boolean, integer, number, text, integers, graph_mode };
std::string_view name_of(SettingType type);

struct Setting {
  /// Where the value lives.
  using Place =
      std::variant<bool*, int*, double*, std::string*, std::vector<int>*, std::optional<CUDAGraphMode>*>;  // as SettingType
  enum class Effect : unsigned char {
    works,
    fixed,  // one value is what was built; every other is refused with `why`
    none    // any value is accepted, `why` says what it cannot change
  };

  SettingGroup group{};
  std::string_view field{};               // "compilation_config.level"; empty: a variable alone
  Place (*place)(EngineArgs&) = nullptr;  // null: nothing to store, `standard` is the only value
  SettingType type{};                     // with a place: follows from it
  std::string_view standard{};            // default of a setting without a place
  std::string_view meaning{};
  std::string_view choices{};                                                            // "cpu, ref": the values of a text
  double low = std::numeric_limits<int>::min(), high = std::numeric_limits<int>::max();  // of integers and numbers
  std::string_view bare{};                                                               // value of a flag given without one
  std::string_view flag_name{};                                                          // where it is not the field's last word
  std::string_view alias{};                                                              // "-tp": one more flag
  std::string_view variable{};  // one more variable; or the only one, without a field
  Effect effect = Effect::works;
  std::string_view why{};
};

std::span<const Setting> settings();

/// By field ("compilation_config.level"), its last word ("level") or its flag ("block-size", "block_size"); null: there is none.
const Setting* find_setting(std::string_view name);

std::string flag_of(const Setting& setting);                    ///< "max-num-seqs"; empty: none
std::vector<std::string> variables_of(const Setting& setting);  ///< "ATOM_MAX_NUM_SEQS", ...; the first that is set counts
std::string default_of(const Setting& setting);                 ///< as text
SettingType type_of(const Setting& setting);

/// The value in `args`, as text that set() takes.
std::string get(EngineArgs& args, const Setting& setting);
/// Parses, checks and stores a value. Booleans: 1, 0, true, false. Lists: 1,2,4 or [1, 2, 4].
/// Throws atom::Error that begins with `name`, as the user knows the setting.
void set(EngineArgs& args, const Setting& setting, std::string_view text, const std::string& name);

/// Sets what environment variables say; one that is empty counts as unset. except: a field to leave as it is.
void apply_environment(EngineArgs& args, std::string_view except = {});
/// Sets what a JSON file says: an object of fields, those of compilation_config, parallel_config and speculative_config in an
/// object of theirs or not. Throws atom::Error that names the file and the key.
void apply_file(EngineArgs& args, const std::string& path);
/// Checks every field by itself, as set() does, for values that did not come through it.
void check(const EngineArgs& args);

/// The table as documentation.
std::string settings_markdown();
std::string settings_json();

}  // namespace atom::engine
