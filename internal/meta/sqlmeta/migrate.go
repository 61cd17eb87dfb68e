package sqlmeta

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// The steps that lead from an empty database to the schema, one DDL statement
// each. The hundreds of a step's number are the version of the schema it
// belongs to. Format: a released step never changes.
//
//go:embed migrations/*.sql
var steps embed.FS

// versionTable is where goose notes the steps taken. Format: never change.
const versionTable = "schema_steps"

// migrate takes the steps that the database lacks. Each is a transaction of its
// own: after a crash the next start goes on with the one that is missing.
func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(steps, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir,
		goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("the database is at schema step %d, this program knows steps up to %d: use a later program", current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring schema to step %d: %w", target, err)
	}
	return nil
}
