// One bidirectional gRPC stream as a blocking conversation with time limits. At most one message is
// taken off the wire ahead of its reader.
//
// Threads: Write(), Read() and Finish() belong to one thread; Cancel() is safe from any thread.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <mutex>

#include "base/clock.h"

namespace signet::agent {

template <class Request, class Response>
class BidiCall final : private grpc::ClientBidiReactor<Request, Response> {
 public:
  enum class Outcome { kMessage, kTimeout, kEnded };

  // `start(context, reactor)` hands both to the stub's async() method.
  template <class Start>
  explicit BidiCall(Start start, std::chrono::system_clock::time_point deadline) {
    context_.set_deadline(deadline);
    start(&context_, static_cast<grpc::ClientBidiReactor<Request, Response>*>(this));
    this->AddHold();  // operations are started from outside the reactions
    this->StartCall();
  }
  ~BidiCall() override {
    if (!finished_) {
      Cancel();
      Finish();
    }
  }
  BidiCall(const BidiCall&) = delete;

  // Waits until the transport took it. False: the call is over.
  bool Write(const Request& request) {
    std::unique_lock lock(mutex_);
    writing_ = true;
    lock.unlock();
    this->StartWrite(&request);
    lock.lock();
    changed_.wait(lock, [&] { return !writing_; });
    return write_ok_;
  }

  // Nothing more will be written.
  void WritesDone() { this->StartWritesDone(); }

  Outcome Read(Response* response, Duration timeout) {
    std::unique_lock lock(mutex_);
    if (!reading_ && !read_ready_) {
      reading_ = true;
      lock.unlock();
      this->StartRead(&incoming_);
      lock.lock();
    }
    if (!changed_.wait_for(lock, timeout, [&] { return read_ready_; })) return Outcome::kTimeout;
    if (!read_ok_) return Outcome::kEnded;
    read_ready_ = false;
    *response = std::move(incoming_);
    incoming_.Clear();
    return Outcome::kMessage;
  }

  void Cancel() { context_.TryCancel(); }
  // After Finish(): what came with the status.
  const grpc::ClientContext& context() const { return context_; }

  // Waits for the end of the call; cancel before, unless the server ended it. What it sent and
  // nobody read is dropped: an unread message would hold the status back for ever. A server that
  // has not ended the call after all is cut off.
  grpc::Status Finish() {
    if (!finished_) {
      Response unread;
      Outcome outcome = Outcome::kMessage;
      for (int i = 0; i < kMostUnread && outcome == Outcome::kMessage; ++i)
        outcome = Read(&unread, kLastWords);
      if (outcome != Outcome::kEnded) Cancel();
      this->RemoveHold();
    }
    finished_ = true;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    return status_;
  }

 private:
  static constexpr Duration kLastWords = std::chrono::seconds(5);
  static constexpr int kMostUnread = 16;  // messages

  void OnReadDone(bool ok) override {
    Change([&] {
      reading_ = false;
      read_ready_ = true;
      read_ok_ = ok;
    });
  }
  void OnWriteDone(bool ok) override {
    Change([&] {
      writing_ = false;
      write_ok_ = ok;
    });
  }
  void OnDone(const grpc::Status& status) override {
    Change([&] {
      done_ = true;
      status_ = status;
    });
  }
  // Notifies under the lock: the waiter may destroy this object as soon as it sees the change.
  template <class Action>
  void Change(Action action) {
    const std::lock_guard lock(mutex_);
    action();
    changed_.notify_all();
  }

  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Response incoming_;
  grpc::Status status_;
  bool reading_ = false, read_ready_ = false, read_ok_ = false;
  bool writing_ = false, write_ok_ = false;
  bool done_ = false;
  bool finished_ = false;  // of the owner's thread
};

}  // namespace signet::agent
