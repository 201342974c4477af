#include "identity/store/sqlite/rows.h"

namespace signet::identity {

Status SqliteNodeRows::Put(const Node& node) {
  std::int64_t seq = 0;
  {
    Statement put = connection_.Use(
        "INSERT INTO nodes (spiffe_id, attestation_type, serial, serial_expires_at, new_serial,"
        " new_serial_expires_at, can_reattest, agent_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
        "?8)"
        " ON CONFLICT (spiffe_id) DO UPDATE SET attestation_type = ?2, serial = ?3, "
        "serial_expires_at = ?4,"
        " new_serial = ?5, new_serial_expires_at = ?6, can_reattest = ?7, agent_version = ?8"
        " RETURNING seq");
    put.Bind(node.id.ToString(), node.attestation_type, node.serial, node.serial_expires_at,
             node.new_serial, node.new_serial_expires_at, node.can_reattest, node.agent_version);
    SIGNET_TRY(const bool row, put.Step());
    if (!row) return Fail(Code::kInternal, kStoreRefused, "node " + node.id.ToString());
    seq = put.Integer(0);
  }
  SIGNET_RETURN_IF_ERROR(
      connection_.Use("DELETE FROM node_selectors WHERE node_seq = ?1").Bind(seq).Run());
  for (const Selector& selector : node.selectors) {
    SIGNET_RETURN_IF_ERROR(connection_.Use("INSERT INTO node_selectors VALUES (?1, ?2, ?3)")
                               .Bind(seq, selector.type, selector.value)
                               .Run());
  }
  return {};
}

Status SqliteNodeRows::Remove(const SpiffeId& id) {
  return connection_.Use("DELETE FROM nodes WHERE spiffe_id = ?1").Bind(id.ToString()).Run();
}

Result<std::vector<Node>> SqliteNodeRows::Load(Connection& connection) {
  std::vector<Node> nodes;
  Statement query = connection.Use(
      "SELECT seq, spiffe_id, attestation_type, serial, serial_expires_at, new_serial, "
      "new_serial_expires_at,"
      " can_reattest, agent_version FROM nodes ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return nodes;
    Node node;
    auto id = SpiffeId::Parse(query.Text(1));
    if (!id) return FailUnreadableRow("nodes", query.Text(1), id.error());
    node.id = *std::move(id);
    node.attestation_type = query.Text(2);
    node.serial = query.Text(3);
    node.serial_expires_at = query.Integer(4);
    node.new_serial = query.Text(5);
    node.new_serial_expires_at = query.Integer(6);
    node.can_reattest = query.Boolean(7);
    node.agent_version = query.Text(8);
    Statement selectors = connection.Use(
        "SELECT type, value FROM node_selectors WHERE node_seq = ?1 ORDER BY type, value");
    selectors.Bind(query.Integer(0));
    while (true) {
      SIGNET_TRY(const bool more, selectors.Step());
      if (!more) break;
      node.selectors.push_back({selectors.Text(0), selectors.Text(1)});
    }
    nodes.push_back(std::move(node));
  }
}

}  // namespace signet::identity
