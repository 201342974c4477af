// Between a codec and its connection's bytes: reads while the codec takes, keeps what it could not
// use yet, writes what it produced, and ends the connection in order: after the last byte of an
// answer, what the peer still sends is read and dropped for a while, or it would lose the answer to
// a reset (RFC 9112, 9.6).
//
// Threads: one worker's.
#pragma once

#include "proxy/forward/stream.h"
#include "proxy/http/message_stream.h"
#include "proxy/http/turn.h"

namespace signet::proxy {

enum class LinkEnd { kOrderly, kBroken };

class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  // Called once, last of all.
  virtual void OnLinkEnd(LinkEnd how) = 0;
  // Bytes moved, or the codec's state may have changed.
  virtual void OnLinkActive() = 0;
};

class Link final : public Wakeable {
 public:
  enum class Role { kServer, kClient };
  // All outlive this.
  Link(Turns& turns, ByteStream& stream, LinkOwner& owner, Role role)
      : turns_(turns), stream_(stream), owner_(owner), role_(role) {}
  ~Link() override { turns_.Forget(*this); }

  OutputBuffer& out() { return out_; }
  // Before anything else. `codec` outlives this; replacing one hands on what was read.
  void Use(Codec& codec) { codec_ = &codec; }
  void Wake() { turns_.Wake(*this); }
  void OnReady(std::uint32_t events);
  void OnWake() override { Pump(); }
  // The codec's last words are out, or lingering took too long.
  void GiveUp();
  // Nothing more is read, written or called: its connection ends for other reasons.
  void Stop() { state_ = State::kOver; }
  bool lingering() const { return state_ == State::kLingering; }
  // What arrived and no codec took yet.
  std::string_view stash() const { return stash_; }
  std::uint64_t received() const { return received_; }
  std::uint64_t sent() const { return sent_; }

 private:
  enum class State {
    kOpen,
    kClosing,    // the codec's last word is out; the end of it is being said
    kLingering,  // said; the peer may not have heard it yet
    kOver,
  };
  static constexpr std::size_t kTurnBytes = 4 * kBufferBytes;
  static constexpr std::size_t kMaxLinger = 1U << 20;

  // Nothing more is said, and what comes is dropped unread.
  bool ending() const { return state_ == State::kClosing || state_ == State::kLingering; }
  bool wants_input() const { return ending() || codec_->wants_input(); }
  void Pump();
  // False when the link is over.
  bool PumpInput(std::size_t* budget);
  bool PumpOutput();
  void OfferStash();
  void Offer(std::string_view bytes);
  bool FinishIfOver();
  void End(LinkEnd how);

  Turns& turns_;
  ByteStream& stream_;
  LinkOwner& owner_;
  const Role role_;
  Codec* codec_ = nullptr;
  OutputBuffer out_;
  std::string stash_;
  State state_ = State::kOpen;
  bool input_ended_ = false;
  bool end_told_ = false;
  bool write_closed_ = false;
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t lingered_ = 0;
};

}  // namespace signet::proxy
