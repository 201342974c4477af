#include "agent/sync/denial_assembler.h"

#include "agent/sync/batch_assembler.h"

namespace signet::agent {
namespace {

using identity::Denial;
using identity::DenialKind;

constexpr std::size_t kMaxIdBytes = 64;

Result<identity::DenialPtr> ToDenial(const signet::sync::v1::Denial& message) {
  const auto refuse = [](std::string what) {
    return Fail(Code::kInternal, kBatchRefused, std::move(what));
  };
  if (message.id().empty() || message.id().size() > kMaxIdBytes) return refuse("a denial's id");
  if (message.kind() == 0 || message.kind() > 255) return refuse("a denial's kind");
  if (message.subject().size() > identity::kMaxSpiffeIdBytes) return refuse("a denial's subject");
  if (message.until() < 0) return refuse("a denial's end");
  Denial denial;
  denial.id = message.id();
  denial.kind = static_cast<DenialKind>(message.kind());
  denial.subject = message.subject();
  denial.until = message.until();
  if (denial.kind <= DenialKind::kAgent) {
    const auto subject = identity::NormalizeDenialSubject(denial.kind, denial.subject);
    if (!subject || *subject != denial.subject) return refuse("a denial's subject");
  }
  return std::make_shared<const Denial>(std::move(denial));
}

}  // namespace

Result<std::optional<DenialDelta>> DenialAssembler::Add(const signet::sync::v1::Denials& part) {
  const auto refuse = [](std::string what) {
    return Fail(Code::kInternal, kBatchRefused, std::move(what));
  };
  if (part.revision() == 0) return refuse("denials of revision 0");
  if (gathering_ && (part.revision() != delta_.revision || part.full() != delta_.full))
    return refuse("parts of different denials mixed");
  if (part.full() && part.removed_ids_size() > 0) return refuse("full denials remove nothing");
  gathering_ = true;
  delta_.revision = part.revision();
  delta_.full = part.full();
  const std::size_t more = static_cast<std::size_t>(part.upserts_size()) +
                           static_cast<std::size_t>(part.removed_ids_size());
  if (delta_.upserts.size() + delta_.removed.size() + more > 2 * identity::kMaxDenials)
    return refuse("too many denials");
  for (const auto& message : part.upserts()) {
    SIGNET_TRY(auto denial, ToDenial(message));
    delta_.upserts.push_back(std::move(denial));
  }
  for (const std::string& id : part.removed_ids()) delta_.removed.push_back(id);
  if (!part.last()) return std::nullopt;
  std::optional<DenialDelta> whole = std::move(delta_);
  *this = DenialAssembler();
  return whole;
}

}  // namespace signet::agent
