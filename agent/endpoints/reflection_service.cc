#include "agent/endpoints/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

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

// One request, its answer, the next request. Owns itself until OnDone.
template <class Request, class Response>
class Dialogue final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  Dialogue(CallerTable::StreamSlot slot, const std::vector<std::string>& services)
      : slot_(std::move(slot)), services_(services) {
    this->StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return this->Finish(grpc::Status::OK);
    response_.Clear();
    Reflect(services_, request_, &response_);
    this->StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return this->Finish({grpc::StatusCode::CANCELLED, "the caller went away"});
    this->StartRead(&request_);
  }
  void OnDone() override { delete this; }

  const CallerTable::StreamSlot slot_;
  const std::vector<std::string>& services_;
  Request request_;
  Response response_;
};

}  // namespace

template <class Service, class Request, class Response>
grpc::ServerBidiReactor<Request, Response>*
ReflectionService<Service, Request, Response>::ServerReflectionInfo(
    grpc::CallbackServerContext* context) {
  auto admission = gate_.Admit(*context);
  if (!admission)
    return gate_.RefuseStream<grpc::ServerBidiReactor<Request, Response>>(admission.error());
  return new Dialogue<Request, Response>(std::move(admission->slot), services_);
}

template class ReflectionService<grpc::reflection::v1::ServerReflection,
                                 grpc::reflection::v1::ServerReflectionRequest,
                                 grpc::reflection::v1::ServerReflectionResponse>;
template class ReflectionService<grpc::reflection::v1alpha::ServerReflection,
                                 grpc::reflection::v1alpha::ServerReflectionRequest,
                                 grpc::reflection::v1alpha::ServerReflectionResponse>;

}  // namespace signet::agent
