package job

import (
	"bufio"
	"context"
	"io"
	"strconv"

	"moraine"
	"moraine/internal/meta"
)

// secondsFormat prints dates inside inventories: UTC, no fraction (§1.8).
const secondsFormat = "2006-01-02T15:04:05Z"

// inventory makes the document of an inventory job and stores it as the body
// of the job. It describes a snapshot that no later write can change
// (Vault.Stamp), and is streamed, so that memory does not depend on the number
// of archives.
func (s *Service) inventory(ctx context.Context, j *moraine.Job) (err error) {
	var v moraine.Vault
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		v, err = tx.Vaults().ByID(j.Vault)
		return err
	})
	if err != nil {
		return err
	}
	spool := s.newSpool(ctx)
	defer func() { spool.close(ctx, err) }()
	next, err := s.write(ctx, j, document{vault: v.ARN(), inv: *j.Inventory}, spool, s.renewer(ctx, j.ID))
	if err != nil {
		return err
	}
	extents, size, err := spool.end()
	if err != nil {
		return err
	}
	// The document is durable and no row names it: a crash here leaves
	// orphans, and the job in progress, which makes another document.
	spool.asked = true
	return s.finish(ctx, j, moraine.Succeeded, func(tx meta.Tx, row *moraine.Job) error {
		if err := spool.inTime(tx); err != nil {
			return err
		}
		row.Output = size
		row.Inventory.Next = next
		for _, e := range extents {
			if err := tx.Bodies().Put(row.Body, e, row.Completed); err != nil {
				return err
			}
		}
		return nil
	})
}

// write streams the document of a job to w and returns the marker of the next
// page, "" if there is none.
func (s *Service) write(ctx context.Context, j *moraine.Job, doc document, w io.Writer, renew func() error) (string, error) {
	after, err := parseMarker(j.Inventory.Marker)
	if err != nil {
		return "", err
	}
	scan := meta.Scan{
		Vault: j.Vault, At: j.Inventory.Snapshot, Start: j.Inventory.Start, End: j.Inventory.End,
		AfterCreated: after.created, AfterID: after.id,
	}
	limit := j.Inventory.Limit
	if limit > 0 {
		scan.Limit = limit + 1 // one more tells whether there is a next page
	}
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
	var count int64
	var last position
	next := ""
	out.Write(doc.head(line[:0]))
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		return tx.Archives().Scan(scan, func(a moraine.Archive) error {
			if limit > 0 && count == limit {
				next = last.marker()
				return nil
			}
			line = doc.item(line[:0], &a, count == 0)
			count++
			last = position{created: a.Created, id: string(a.ID)}
			if count%1024 == 0 {
				if err := renew(); err != nil {
					return err
				}
			}
			_, err := out.Write(line)
			return err
		})
	})
	if err != nil {
		return "", err
	}
	out.Write(doc.tail(line[:0]))
	return next, out.Flush()
}

// document prints an inventory (§8.2, §8.3).
type document struct {
	vault string // ARN
	inv   moraine.Inventory
}

func (d document) head(b []byte) []byte {
	if d.inv.Format == moraine.CSV {
		return append(b, "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash\n"...)
	}
	b = append(b, `{"VaultARN":"`...)
	b = append(b, d.vault...)
	b = append(b, `","InventoryDate":"`...)
	b = d.inv.Snapshot.AppendFormat(b, secondsFormat)
	return append(b, `","ArchiveList":[`...)
}

func (d document) tail(b []byte) []byte {
	if d.inv.Format == moraine.CSV {
		return b
	}
	return append(b, `]}`...)
}

func (d document) item(b []byte, a *moraine.Archive, first bool) []byte {
	if d.inv.Format == moraine.CSV {
		b = append(b, a.ID...)
		b = append(b, `,"`...)
		b = appendEscaped(b, a.Description, false)
		b = append(b, `",`...)
		b = a.Created.AppendFormat(b, secondsFormat)
		b = append(b, ',')
		b = strconv.AppendInt(b, a.Size, 10)
		b = append(b, ',')
		b = append(b, a.TreeHash.String()...)
		return append(b, '\n')
	}
	if !first {
		b = append(b, ',')
	}
	b = append(b, `{"ArchiveId":"`...)
	b = appendEscaped(b, string(a.ID), true)
	b = append(b, `","ArchiveDescription":"`...)
	b = appendEscaped(b, a.Description, true)
	b = append(b, `","CreationDate":"`...)
	b = a.Created.AppendFormat(b, secondsFormat)
	b = append(b, `","Size":`...)
	b = strconv.AppendInt(b, a.Size, 10)
	b = append(b, `,"SHA256TreeHash":"`...)
	b = append(b, a.TreeHash.String()...)
	return append(b, `"}`...)
}

// appendEscaped appends printable ASCII with a backslash before each double
// quote, and in JSON before each backslash. CSV leaves backslashes alone: the
// format is lossy (§8.3).
func appendEscaped(b []byte, s string, json bool) []byte {
	for i := range len(s) {
		if c := s[i]; c == '"' || json && c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}
