#include "agent/endpoints/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "agent/endpoints/refusal.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace signet::agent {
namespace {

namespace pb = google::protobuf;

constexpr const char* kNotFound = "proto:\u00a0not found";  // to the byte what SPIRE's says

// `file` and what it imports, each once.
void Collect(const pb::FileDescriptor* file, std::set<std::string>* seen,
             std::vector<std::string>* serialized) {
  if (!seen->insert(file->name()).second) return;
  pb::FileDescriptorProto proto;
  file->CopyTo(&proto);
  serialized->push_back(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) Collect(file->dependency(i), seen, serialized);
}

template <class Response>
void Answer(const pb::FileDescriptor* file, Response* response) {
  if (file == nullptr) {
    response->mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response->mutable_error_response()->set_error_message(kNotFound);
    return;
  }
  std::set<std::string> seen;
  std::vector<std::string> serialized;
  Collect(file, &seen, &serialized);
  for (std::string& one : serialized)
    response->mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(one));
}

const pb::FileDescriptor* FileOfExtension(const std::string& type, int number) {
  const auto* pool = pb::DescriptorPool::generated_pool();
  const pb::Descriptor* message = pool->FindMessageTypeByName(type);
  const auto* extension =
      message == nullptr ? nullptr : pool->FindExtensionByNumber(message, number);
  return extension == nullptr ? nullptr : extension->file();
}

template <class Request, class Response>
void Reflect(const std::vector<std::string>& services, const Request& request, Response* response) {
  const auto* pool = pb::DescriptorPool::generated_pool();
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kListServices:
      for (const std::string& name : services)
        response->mutable_list_services_response()->add_service()->set_name(name);
      return;
    case Request::kFileByFilename:
      return Answer(pool->FindFileByName(request.file_by_filename()), response);
    case Request::kFileContainingSymbol:
      return Answer(pool->FindFileContainingSymbol(request.file_containing_symbol()), response);
    case Request::kFileContainingExtension:
      return Answer(FileOfExtension(request.file_containing_extension().containing_type(),
                                    request.file_containing_extension().extension_number()),
                    response);
    case Request::kAllExtensionNumbersOfType: {
      const auto* type = pool->FindMessageTypeByName(request.all_extension_numbers_of_type());
      if (type == nullptr) return Answer(static_cast<pb::FileDescriptor*>(nullptr), response);
      auto* numbers = response->mutable_all_extension_numbers_response();
      numbers->set_base_type_name(type->full_name());
      std::vector<const pb::FieldDescriptor*> extensions;
      pool->FindAllExtensions(type, &extensions);
      for (const auto* extension : extensions) numbers->add_extension_number(extension->number());
      return;
    }
    default:
      response->mutable_error_response()->set_error_code(grpc::StatusCode::INVALID_ARGUMENT);
      response->mutable_error_response()->set_error_message("nothing is asked for");
  }
}

// One request, its answer, the next request.
template <class Request, class Response>
class Dialogue final : public net::RpcHandler,
                       public std::enable_shared_from_this<Dialogue<Request, Response>> {
 public:
  Dialogue(CallerGate::Admission admission, AttestationPool& pool,
           const std::vector<std::string>& services)
      : slot_(std::move(admission.slot)),
        call_(std::move(admission.call)),
        pool_(pool),
        services_(services) {
    call_->Read();
  }

  void OnMessage(std::string message) override {
    const bool taken = pool_.Submit([self = this->shared_from_this(),
                                     message = std::move(message)] { self->AnswerOne(message); });
    if (!taken)
      call_->Finish(ToRpcStatus(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull)));
  }
  void OnHalfClose() override { call_->Finish({}); }
  void OnOver() override {}

 private:
  void AnswerOne(const std::string& message) {
    Request request;
    if (!request.ParseFromString(message)) return call_->Finish(ToRpcStatus(MalformedRequest()));
    Response response;
    Reflect(services_, request, &response);
    call_->Send(response.SerializeAsString());
    call_->Read();
  }

  const CallerTable::StreamSlot slot_;
  const std::shared_ptr<net::RpcCall> call_;
  AttestationPool& pool_;
  const std::vector<std::string>& services_;
};

}  // namespace

template <class Request, class Response>
std::shared_ptr<net::RpcHandler> ReflectionService::Open(const Arrival& arrival) {
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return std::make_shared<Dialogue<Request, Response>>(*std::move(admission), pool_, services_);
}

void ReflectionService::Register(CallTable* calls) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  const auto path = [](const char* service) {
    return std::string("/") + service + "/ServerReflectionInfo";
  };
  calls->Add(path(kReflectionV1), [this](const Arrival& arrival) {
    return Open<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(arrival);
  });
  calls->Add(path(kReflectionV1Alpha), [this](const Arrival& arrival) {
    return Open<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(arrival);
  });
}

}  // namespace signet::agent
