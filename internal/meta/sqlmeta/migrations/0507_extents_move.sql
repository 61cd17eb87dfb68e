-- +goose Up
INSERT INTO extents_clustered (body_id, first_byte, size, blob_id, ref, tree_hash)
SELECT body_id, first_byte, size, blob_id, ref, tree_hash FROM extents
ORDER BY body_id, first_byte;
