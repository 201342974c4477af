#include "identity/bundle/bundle.h"

namespace signet::identity {

std::vector<ca::Certificate> Bundle::X509Roots() const {
  std::vector<ca::Certificate> roots;
  roots.reserve(x509_authorities.size());
  for (const X509BundleAuthority& authority : x509_authorities)
    roots.push_back(authority.certificate);
  return roots;
}

}  // namespace signet::identity
