package sqlmeta_test

import (
	"strings"
	"testing"

	"moraine/internal/meta/sqlmeta"
)

// scans are the queries that may walk an index from its start: they stop at
// their limit, count rows that are few, or are there to read everything.
var scans = map[string]string{
	"SELECT body_id FROM condemned":                    "SCAN condemned USING COVERING INDEX condemned_since",
	"SELECT blob_id, ref, size, since_ms FROM garbage": "SCAN garbage USING INDEX garbage_since",
	"SELECT vault_id FROM dead_vaults":                 "SCAN dead_vaults USING COVERING INDEX sqlite_autoindex_dead_vaults_1",
	"SELECT /* clock */ 0":                             "SCAN CONSTANT ROW",
	"SELECT ready_ms FROM jobs":                        "SCAN jobs USING COVERING INDEX jobs_ready",
	"SELECT first_byte, size, blob_id, ref, tree_hash, verified_ms, fault, body_id FROM extents ORDER": "SCAN extents",
	"WITH claimed":                                                  "SCAN claimed", // as many as the limit says
	"SELECT next_ms FROM outbox":                                    "SCAN outbox USING COVERING INDEX outbox_next",
	"SELECT state, count(*) FROM outbox":                            "SCAN outbox USING COVERING INDEX outbox_state",
	"SELECT state, count(*) FROM jobs":                              "SCAN jobs USING COVERING INDEX jobs_due",
	"SELECT key_id, created_ms, wrapped_by, wrapped FROM blob_keys": "SCAN blob_keys USING INDEX blob_keys_created",
	"SELECT archive_id, vault_id, body_id, size, created_ms, deleted_ms, tree_hash, description FROM archives WHERE deleted_ms IS NULL": "SCAN archives USING INDEX archives_id",
	"SELECT archive_id, vault_id, body_id, size, created_ms, deleted_ms, tree_hash, description FROM archives\nWHERE body_id IN":        "SCAN archives",
}

// TestPlans looks at how every query runs: by an index, unless the list says
// otherwise, and never sorted in memory.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	for _, query := range sqlmeta.Queries() {
		lines, err := sqlmeta.Plan(s, query)
		if err != nil {
			t.Errorf("%s\n%v", query, err)
			continue
		}
		allowed := ""
		for start, line := range scans {
			if strings.HasPrefix(query, start) {
				allowed = line
			}
		}
		for _, line := range lines {
			switch {
			case strings.HasPrefix(line, "SCAN") && line != allowed,
				strings.Contains(line, "TEMP B-TREE"), strings.Contains(line, "AUTOMATIC"):
				t.Errorf("%s\n%s", query, strings.Join(lines, "\n"))
			}
		}
	}
}
