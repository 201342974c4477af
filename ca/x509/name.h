// Distinguished names (RFC 5280, 4.1.2.4) as we write them: one attribute per
// RelativeDistinguishedName, PrintableString where the letters allow it, else UTF8String.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "ca/x509/profile.h"

namespace signet::ca {

// DER Name. Fails with kProfileRefused on a malformed OID or a value that is empty or no UTF-8.
Result<Bytes> MakeName(std::span<const NameAttribute> attributes);

// The subject of a leaf: the profile's own, or C=US, O=SPIRE; the first DNS name, where there is
// one, is its only CN. Fails with kProfileRefused when the profile's own is no Name.
Result<Bytes> LeafSubject(const LeafProfile& profile);

// The subject of a root: the profile's own, or C=US, O=SPIFFE, then the serial in decimal as
// serialNumber, which keeps roots of one trust domain apart.
Result<Bytes> RootSubject(const RootProfile& profile, ByteView serial);

// The last CN of a DER Name, when it is text we can read (UTF-8, Printable or IA5). Absent
// otherwise.
std::optional<std::string> FindCommonName(ByteView name);

// The subject of an authority below the one whose subject is `parent`: that subject with
// OU=DOWNSTREAM-<depth> (as in SPIRE the number of intermediates above it, at least one) in place
// of its organizational units, and the new certificate's serial in place of its own. In the order
// SPIRE has: country, organization, unit, the rest, serialNumber.
Result<Bytes> DownstreamSubject(ByteView parent, std::size_t depth, ByteView serial);

}  // namespace signet::ca
