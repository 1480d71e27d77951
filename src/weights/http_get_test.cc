// SPDX-License-Identifier: Apache-2.0
// Requests over TLS, against a server on the loopback interface with a certificate of its own.
#include "weights/http_get.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A certificate for `name`, signed by its own key.
X509* SelfSigned(EVP_PKEY* key, const std::string& name) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("a test"), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, ("DNS:" + name).c_str());
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  return certificate;
}

// Serves one connection: the handshake (if `tls`), one request, `reply` byte by byte with a pause
// after each, the end.
class TlsServer {
 public:
  TlsServer(bool tls, std::string reply, std::chrono::milliseconds pause = {})
      : reply_(std::move(reply)), pause_(pause), listener_(BIO_new_accept("127.0.0.1:0")) {
    signal(SIGPIPE, SIG_IGN);  // BIO_write to a client that has left
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = SelfSigned(key, "localhost");
    ca_file_ = folder_.Write("ca.pem", "");
    FILE* file = fopen(ca_file_.c_str(), "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    context_ = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(context_, certificate);
    SSL_CTX_use_PrivateKey(context_, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    if (tls) BIO_set_accept_bios(listener_, BIO_new_ssl(context_, 0));
    BIO_do_accept(listener_);  // the first call binds
    thread_ = std::thread([this] { Serve(); });
  }
  ~TlsServer() {
    shutdown(static_cast<int>(BIO_get_fd(listener_, nullptr)), SHUT_RDWR);
    thread_.join();
    BIO_free_all(listener_);
    SSL_CTX_free(context_);
  }
  std::string Url(const std::string& host) const {
    return fmt::format("https://{}:{}/file", host, BIO_get_accept_port(listener_));
  }
  const std::string& ca_file() const { return ca_file_; }

 private:
  void Serve() {
    if (BIO_do_accept(listener_) <= 0) return;
    BIO* client = BIO_pop(listener_);
    std::string request;
    for (char byte;
         request.find("\r\n\r\n") == std::string::npos && BIO_read(client, &byte, 1) > 0;)
      request += byte;
    for (const char byte : reply_) {
      if (BIO_write(client, &byte, 1) != 1) break;
      BIO_flush(client);
      std::this_thread::sleep_for(pause_);
    }
    BIO_ssl_shutdown(client);
    BIO_free_all(client);
  }

  testing::TempFolder folder_;
  std::string reply_, ca_file_;
  const std::chrono::milliseconds pause_;
  BIO* listener_;
  SSL_CTX* context_;
  std::thread thread_;
};

StatusOr<std::string> Get(const HttpRequest& request) {
  std::string body;
  BANYAN_RETURN_IF_ERROR(HttpGet(
      request, [](const HttpResponse& response) { return response.status == 200; },
      [&](std::string_view part) {
        body += part;
        return OkStatus();
      }));
  return body;
}

constexpr char kReply[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";

TEST(HttpGet, ReadsOverTls) {
  TlsServer server(true, kReply);
  const auto body = Get({.url = server.Url("localhost"), .ca_file = server.ca_file()});
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "0123456789");
}

TEST(HttpGet, RefusesACertificateOfNobodyKnown) {
  TlsServer server(true, kReply);
  const auto body = Get({.url = server.Url("localhost")});
  EXPECT_EQ(body.status().code(), StatusCode::kPermissionDenied) << body.status();
  EXPECT_THAT(Message(body.status()), HasSubstr("the certificate of localhost is not trusted"));
}

TEST(HttpGet, RefusesACertificateOfAnotherName) {
  TlsServer server(true, kReply);
  const auto body = Get({.url = server.Url("127.0.0.1"), .ca_file = server.ca_file()});
  EXPECT_EQ(body.status().code(), StatusCode::kPermissionDenied) << body.status();
}

TEST(HttpGet, ABodyThatIsCutIsAnError) {
  TlsServer server(true, std::string(kReply).substr(0, sizeof(kReply) - 4));
  const auto body = Get({.url = server.Url("localhost"), .ca_file = server.ca_file()});
  EXPECT_EQ(body.status().code(), StatusCode::kUnavailable) << body.status();
}

TEST(HttpGet, AServerWithoutTlsIsAnError) {
  TlsServer server(false, kReply);  // waits for the end of a request, which a handshake has not
  const auto body =
      Get({.url = server.Url("localhost"), .ca_file = server.ca_file(), .timeout_seconds = 1});
  EXPECT_EQ(body.status().code(), StatusCode::kDeadlineExceeded) << body.status();
}

// The header has a time as a whole, however steadily it trickles.
TEST(HttpGet, AHeaderThatTricklesTimesOut) {
  TlsServer server(true, kReply, std::chrono::milliseconds(100));
  const auto body =
      Get({.url = server.Url("localhost"), .ca_file = server.ca_file(), .timeout_seconds = 1});
  EXPECT_EQ(body.status().code(), StatusCode::kDeadlineExceeded) << body.status();
}

TEST(HttpGet, AddressesOfIpv6LoseTheirBrackets) {
  const auto body = Get({.url = "http://[::1]:1/file"});  // nobody listens
  EXPECT_EQ(body.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Message(body.status()), Not(HasSubstr("not found")));
}

}  // namespace
}  // namespace banyan::weights
