#include "ops/registry.h"

namespace tapegrad::ops {
namespace {

std::vector<OpEntry>& mutable_table() {
  static std::vector<OpEntry> table;
  return table;
}

}  // namespace

const std::vector<OpEntry>& op_table() { return mutable_table(); }

void Registration::add(const OpEntry& entry) { mutable_table().push_back(entry); }

}  // namespace tapegrad::ops
