#include "proxy/http/link.h"

#include <sys/epoll.h>

namespace signet::proxy {

using net::IoResult;
using net::IoStatus;

void Link::OnReady(std::uint32_t events) {
  const Turns::Scope turn(turns_);
  stream_.OnReady(events);
  // Broken off while the codec takes no input: nothing else would notice. Else what came before the
  // break is read first.
  if ((events & EPOLLERR) != 0 && !wants_input()) return End(LinkEnd::kBroken);
  Pump();
}

void Link::Pump() {
  if (state_ == State::kOver) return;
  std::size_t budget = kTurnBytes;
  if (!PumpInput(&budget) || !PumpOutput() || FinishIfOver()) return;
  if (budget == 0) turns_.WakeLater(*this);
  owner_.OnLinkActive();
}

void Link::OfferStash() {
  if (stash_.empty()) return;
  const std::size_t taken = codec_->OnInput(stash_);
  if (taken == stash_.size())
    std::string().swap(stash_);
  else
    stash_.erase(0, taken);
}

void Link::Offer(std::string_view bytes) {
  if (stash_.empty()) {
    const std::size_t taken = codec_->OnInput(bytes);
    stash_.append(bytes.substr(taken));
  } else {
    stash_.append(bytes);
    OfferStash();
  }
}

bool Link::PumpInput(std::size_t* budget) {
  if (!ending() && codec_->wants_input()) OfferStash();
  while (wants_input() && !input_ended_ && *budget > 0) {
    const IoResult got = stream_.Read(turns_.scratch());
    if (got.status == IoStatus::kWantRead || got.status == IoStatus::kWantWrite) return true;
    if (got.status == IoStatus::kError) {
      End(LinkEnd::kBroken);
      return false;
    }
    if (got.status == IoStatus::kEof) {
      input_ended_ = true;
      break;
    }
    received_ += got.bytes;
    *budget -= std::min(*budget, got.bytes);
    if (ending()) {
      if ((lingered_ += got.bytes) <= kMaxLinger) continue;
      GiveUp();
      return false;
    }
    Offer(AsText(ByteView(turns_.scratch()).first(got.bytes)));
  }
  // The end comes after the last byte before it was taken.
  if (input_ended_ && !end_told_ && !ending() && codec_->wants_input()) {
    end_told_ = true;
    codec_->OnInputEnd();
  }
  return true;
}

bool Link::PumpOutput() {
  // A codec may have answers to what comes even after its last word (HTTP/2's to a PING).
  if (ending()) return true;
  for (;;) {
    codec_->Produce();
    if (out_.empty()) break;
    const std::string_view bytes = out_.view();
    const IoResult put = stream_.Write(AsBytes(bytes));
    if (put.status == IoStatus::kError) {
      End(LinkEnd::kBroken);
      return false;
    }
    if (put.status != IoStatus::kOk) return true;
    sent_ += put.bytes;
    out_.Sent(put.bytes);
    codec_->OnOutput();
  }
  if (codec_->write_ended() && !write_closed_) {
    const IoStatus closed = stream_.CloseWrite();
    if (closed == IoStatus::kError) {
      End(LinkEnd::kBroken);
      return false;
    }
    write_closed_ = closed == IoStatus::kOk;
  }
  return true;
}

bool Link::FinishIfOver() {
  if (!ending()) {
    if (codec_->waiting() != Waiting::kOver) return false;
    if (codec_->broken_off()) {
      End(LinkEnd::kBroken);
      return true;
    }
    if (!out_.empty()) return false;
    state_ = State::kClosing;
  }
  if (!write_closed_) {
    const IoStatus closed = stream_.CloseWrite();
    if (closed == IoStatus::kWantWrite) return false;
    write_closed_ = true;
    if (closed == IoStatus::kError) {
      End(LinkEnd::kBroken);
      return true;
    }
  }
  if (input_ended_ || role_ == Role::kClient) {
    End(LinkEnd::kOrderly);
    return true;
  }
  if (state_ == State::kClosing) {
    state_ = State::kLingering;
    turns_.WakeLater(*this);  // what is there already has no edge of its own
  }
  return false;
}

void Link::GiveUp() { End(LinkEnd::kOrderly); }

void Link::End(LinkEnd how) {
  if (state_ == State::kOver) return;
  const Turns::Scope turn(turns_);
  state_ = State::kOver;
  codec_->OnBroken(StreamFault::kConnection);
  owner_.OnLinkEnd(how);
}

}  // namespace signet::proxy
