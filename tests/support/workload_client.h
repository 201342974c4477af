// A workload: calls of the SPIFFE Workload API over an agent's socket, its messages taken one by
// one.
//
// Threads: none.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "spiffe/workload.grpc.pb.h"

namespace signet::test {

std::shared_ptr<grpc::Channel> WorkloadChannel(const std::string& socket_path);
// With the security header.
void AddSecurityHeader(grpc::ClientContext* context);

// An open stream; a thread reads it.
template <class Response>
class WorkloadStream {
 public:
  explicit WorkloadStream(const std::string& socket_path) : channel_(WorkloadChannel(socket_path)) {
    AddSecurityHeader(&context_);
    thread_ = std::thread([this] { Read(); });
  }
  ~WorkloadStream() {
    context_.TryCancel();
    thread_.join();
  }

  // The next message; absent when the stream ended, or none came within `wait`.
  std::optional<Response> Next(std::chrono::milliseconds wait = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [&] { return !messages_.empty() || status_; });
    if (messages_.empty()) return std::nullopt;
    Response message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  // Its end; absent when it has not ended within `wait`.
  std::optional<grpc::Status> End(std::chrono::milliseconds wait = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [&] { return status_.has_value(); });
    return status_;
  }

 private:
  void Read();
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Response> messages_;
  std::optional<grpc::Status> status_;
  std::thread thread_;
};

using SvidStream = WorkloadStream<X509SVIDResponse>;
using BundleStream = WorkloadStream<X509BundlesResponse>;

// The SPIFFE IDs of a message, in its order.
std::vector<std::string> IdsOf(const X509SVIDResponse& response);

// The first answer of FetchX509SVID, or the status it ended with.
struct FirstAnswer {
  grpc::Status status;
  X509SVIDResponse response;
};
FirstAnswer FetchOnce(const std::string& socket_path,
                      const std::multimap<std::string, std::string>& metadata = {
                          {"workload.spiffe.io", "true"}});

}  // namespace signet::test
