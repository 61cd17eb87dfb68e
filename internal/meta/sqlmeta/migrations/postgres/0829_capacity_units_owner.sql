-- +goose Up
CREATE INDEX capacity_units_owner ON capacity_units (account, region, start_ms, unit_id);
