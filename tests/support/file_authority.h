// A CA in files, made by the openssl program: a root, and an authority below it.
//
// Threads: none.
#pragma once

#include <string>

#include "ca/x509/certificate.h"
#include "tests/support/tools.h"

namespace signet::test {

class FileAuthority {
 public:
  FileAuthority() { Make(3650); }

  // Other keys and certificates in the same files.
  void Replace() { Make(3650); }
  // Replaced by one that ends after `days`.
  void ReplaceEnding(int days) { Make(days); }

  // The certificate again, by the same root, over another key (SubjectPublicKeyInfo).
  void CertifyInstead(ByteView spki) {
    WriteText(dir_.File("other.pub"),
              "-----BEGIN PUBLIC KEY-----\n" + EncodeBase64(spki) + "\n-----END PUBLIC KEY-----\n");
    Openssl(dir_, {"x509", "-req", "-in", dir_.File("ca.csr"), "-force_pubkey",
                   dir_.File("other.pub"), "-CA", dir_.File("root.pem"), "-CAkey",
                   dir_.File("root.key"), "-CAcreateserial", "-extfile", dir_.File("conf"),
                   "-extensions", "ca", "-days", "3650", "-out", certificate_file()});
  }

  std::string certificate_file() const { return dir_.File("ca.pem"); }
  std::string key_file() const { return dir_.File("ca.key"); }
  std::string root_key_file() const { return dir_.File("root.key"); }
  std::string bundle_file() const { return dir_.File("root.pem"); }
  ca::Certificate root() const { return ca::ParsePem(ReadText(bundle_file()), 1).value().front(); }
  ca::Certificate authority() const {
    return ca::ParsePem(ReadText(certificate_file()), 1).value().front();
  }

 private:
  void Make(int days) {
    WriteText(dir_.File("conf"),
              "[req]\ndistinguished_name=dn\n[dn]\n[root]\nbasicConstraints=critical,CA:TRUE\n"
              "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
              "[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=critical,keyCertSign,"
              "cRLSign\nsubjectKeyIdentifier=hash\n"
              "authorityKeyIdentifier=keyid\n");
    const auto key = [&](const std::string& name) {
      Openssl(dir_, {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                     dir_.File(name)});
    };
    key("root.key");
    key("next.key");
    Openssl(dir_, {"req", "-x509", "-new", "-config", dir_.File("conf"), "-extensions", "root",
                   "-key", dir_.File("root.key"), "-subj", "/O=Upstream/CN=Root", "-days", "3650",
                   "-out", dir_.File("root.pem")});
    Openssl(dir_, {"req", "-new", "-config", dir_.File("conf"), "-key", dir_.File("next.key"),
                   "-subj", "/O=Upstream/CN=Authority", "-out", dir_.File("ca.csr")});
    Openssl(dir_,
            {"x509", "-req", "-in", dir_.File("ca.csr"), "-CA", dir_.File("root.pem"), "-CAkey",
             dir_.File("root.key"), "-CAcreateserial", "-extfile", dir_.File("conf"), "-extensions",
             "ca", "-days", std::to_string(days), "-out", dir_.File("next.pem")});
    std::filesystem::rename(dir_.File("next.key"), key_file());
    std::filesystem::rename(dir_.File("next.pem"), certificate_file());
  }

  TempDir dir_;
};

}  // namespace signet::test
