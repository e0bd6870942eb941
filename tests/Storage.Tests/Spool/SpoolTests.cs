using CsCheck;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests.Spool;

[Trait("tier", "fast")]
public sealed class SpoolTests
{
    private static SpoolOptions Options(Folder folder) =>
        new(folder.In("spool"), "r1", 1, "test", SpoolOptions.MonotonicClock()) { SegmentBytes = 8192, Stripes = 2 };

    private static HistoryBatch ReadAll(string directory)
    {
        using var reader = SpoolReader.Open(directory);
        var batch = new HistoryBatch(reader.Objects, reader.Proc);
        while (reader.Read(batch, 7))
        {
        }

        Assert.Empty(reader.Damages);
        return batch;
    }

    // Goal: every field of every record comes back, whatever its value, across many segments.
    [Fact]
    public void What_was_appended_is_read_back_field_by_field() =>
        Gen.Select(Samples.Operation.Array[0, 200], Samples.Event.Array[0, 5].Array[0, 20]).Sample(
            (operations, groups) =>
            {
                using var folder = new Folder();
                var objects = Samples.Objects();
                using (var spool = SpoolWriter.Create(Options(folder), objects))
                {
                    foreach (var op in operations)
                    {
                        spool.Append(op);
                    }

                    foreach (var group in groups)
                    {
                        spool.AppendEvents(group);
                    }

                    Assert.Equal(operations.Length, spool.Operations);
                }

                var batch = ReadAll(folder.In("spool"));
                Assert.Equal(operations, batch.Operations.ToArray());
                var events = groups.SelectMany(g => g).ToArray();
                Assert.Equal(events.Length, batch.Events.Count);
                foreach (var (expected, actual) in events.Zip(batch.Events))
                {
                    Samples.Same(expected, actual);
                }

                Assert.Equal("map:h/0000:02:00.0/bar2", batch.Objects.Name(6));
            },
            iter: 20);

    // Goal: pages that are written ahead of the position never take a frame away, wherever groups of events end.
    [Fact]
    public void Operations_and_groups_of_any_length_follow_each_other_across_pages() =>
        Gen.Int[0, 60_000].Array[1, 30].Sample(
            lengths =>
            {
                using var folder = new Folder();
                var objects = Samples.Objects();
                var options = Options(folder) with { SegmentBytes = 1 << 20, Stripes = 1 };
                using (var spool = SpoolWriter.Create(options, objects))
                {
                    for (var i = 0; i < lengths.Length; i++)
                    {
                        spool.AppendEvents([new()
                        {
                            Kind = EventKind.Oops,
                            At = new(1, 1, i + 1, 1),
                            Text = new string('x', lengths[i]),
                            After = [],
                        }]);
                        for (var op = 0; op < lengths[i] % 40; op++)
                        {
                            spool.Append(new() { Number = ((long)i << 8) + op + 1 });
                        }
                    }
                }

                var batch = ReadAll(folder.In("spool"));
                Assert.Equal(lengths, batch.Events.Select(e => e.Text!.Length));
                Assert.Equal(
                    lengths.SelectMany(
                        (length, i) => Enumerable.Range(1, length % 40).Select(op => ((long)i << 8) + op)),
                    batch.Operations.ToArray().Select(op => op.Number));
            },
            iter: 20);

    // Goal: whichever of the batches under way were stored, what is read back is exactly the others.
    // Method: a spool is read in batches; any of them count as stored; a second reader passes over these.
    [Fact]
    public void A_reader_skips_exactly_the_stretches_that_are_stored() =>
        Gen.Select(Gen.Int[0, 400], Gen.Int[1, 60], Gen.Bool.Array[400], Gen.Bool).Sample(
            (count, rowsMax, isStored, isClosed) =>
            {
                using var folder = new Folder();
                var spool = SpoolWriter.Create(Options(folder), Samples.Objects());
                try
                {
                    var threads = Enumerable.Range(0, 2).Select(t => new Thread(() =>
                    {
                        for (var n = t; n < count; n += 2)
                        {
                            spool.Append(new Operation { Number = n, Client = 7, Session = 9 });
                        }
                    })).ToArray();
                    Array.ForEach(threads, thread => thread.Start());
                    Array.ForEach(threads, thread => thread.Join());
                    if (isClosed)
                    {
                        spool.Complete();
                    }

                    using var first = SpoolReader.Open(folder.In("spool"));
                    var batches = new List<HistoryBatch>();
                    while (new HistoryBatch(first.Objects, 1) is var next && first.Read(next, rowsMax))
                    {
                        batches.Add(next);
                    }

                    var (stored, missing) = (
                        batches.Where((_, i) => isStored[i]).ToList(), batches.Where((_, i) => !isStored[i]).ToList());
                    using var second = SpoolReader.Open(folder.In("spool"));
                    second.SkipTo(stored.SelectMany(batch => batch.Stretches));
                    var rest = new HistoryBatch(second.Objects, 1);
                    while (second.Read(rest, rowsMax))
                    {
                    }

                    Assert.Equal(Numbers(missing), Numbers([rest]));
                    Assert.Equal(count, Numbers(stored).Concat(Numbers([rest])).Distinct().Count());
                    var keys = stored.Append(rest).SelectMany(batch => batch.Stretches)
                        .Select(s => (s.Stripe, s.Segment, s.From)).ToList();
                    Assert.Equal(keys.Count, keys.Distinct().Count());
                }
                finally
                {
                    spool.Dispose();
                }

                static IEnumerable<long> Numbers(IEnumerable<HistoryBatch> batches) =>
                    batches.SelectMany(batch => batch.Operations.ToArray()).Select(op => op.Number).Order();
            },
            iter: 100);

    // Goal: a record is lost whole or kept whole, and what stands before it is kept.
    // Method: the file is cut, or one byte of it is turned, at every place of the last frames.
    [Fact]
    public void A_torn_tail_ends_the_stripe_at_the_last_whole_record()
    {
        using var folder = new Folder();
        var options = Options(folder) with { Stripes = 1, SegmentBytes = 64 * 1024 };
        using (var spool = SpoolWriter.Create(options, Samples.Objects()))
        {
            for (var n = 1; n <= 5; n++)
            {
                spool.Append(new Operation { Number = n, Client = 7, Session = 9, Kind = OperationKind.Alloc });
            }
        }

        var path = Directory.GetFiles(options.Directory, "records-*").Single();
        var whole = File.ReadAllBytes(path);
        const int Frame = 152;
        for (var at = 64 + (4 * Frame); at < 64 + (5 * Frame); at++)
        {
            var turned = (byte[])whole.Clone();
            turned[at] ^= 0x40;
            File.WriteAllBytes(path, turned);
            Assert.Equal(4, Count(options.Directory));
            File.WriteAllBytes(path, whole[..at]);
            Assert.Equal(4, Count(options.Directory));
        }

        File.WriteAllBytes(path, whole);
        Assert.Equal(5, Count(options.Directory));

        static int Count(string directory)
        {
            using var reader = SpoolReader.Open(directory);
            var batch = new HistoryBatch(reader.Objects, reader.Proc);
            reader.Read(batch, 100);
            return batch.OperationCount;
        }
    }

    [Fact]
    public void Threads_append_side_by_side_and_nothing_is_lost()
    {
        using var folder = new Folder();
        using (var spool = SpoolWriter.Create(Options(folder), Samples.Objects()))
        {
            var threads = Enumerable.Range(0, 4).Select(t => new Thread(() =>
            {
                using var numbers = spool.OpenClient(7, 9);
                for (var i = 0; i < 2000; i++)
                {
                    spool.Append(new Operation { Number = numbers.Next(), Client = 7, Session = 9 });
                }
            })).ToArray();
            Array.ForEach(threads, t => t.Start());
            Array.ForEach(threads, t => t.Join());
        }

        var batch = ReadAll(folder.In("spool"));
        Assert.Equal(8000, batch.OperationCount);
        Assert.Equal(8000, batch.Operations.ToArray().Select(o => o.Number).Distinct().Count());
    }

    [Fact]
    public void Numbers_given_back_are_not_outstanding_and_open_ones_survive_the_change_of_segments()
    {
        using var folder = new Folder();
        var options = Options(folder) with { NumbersAtOnce = 4 };
        using var spool = SpoolWriter.Create(options, Samples.Objects());
        var open = spool.OpenClient(7, 9);
        Assert.Equal(1, open.Next());
        using (var busy = spool.OpenClient(8, 9))
        {
            for (var i = 0; i < 4000; i++)
            {
                busy.Next();
            }
        }

        using var reader = SpoolReader.Open(options.Directory);
        var reserved = reader.Reserved();
        Assert.Contains(new ReservedNumbers(7, 9, 1, 4), reserved);
        Assert.True(reserved.Count < 300, "numbers of used blocks are forgotten with their segment");
        Assert.Null(reader.Closed());
        open.Dispose();
        spool.Complete();
        Assert.Empty(reader.Reserved());
        Assert.Equal((0, 0), reader.Closed());
    }

    [Fact]
    public async Task A_full_spool_holds_clients_back_until_segments_are_stored()
    {
        using var folder = new Folder();
        using var spool = SpoolWriter.Create(
            Options(folder) with { Stripes = 1, BoundBytes = 32 * 1024 }, Samples.Objects());
        while (spool.HasRoom)
        {
            spool.Append(new Operation { Client = 7, Session = 9 });
        }

        var waiting = spool.AppendAsync(new Operation { Client = 7, Session = 9 }, CancellationToken.None).AsTask();
        Assert.False(waiting.IsCompleted);
        using var reader = SpoolReader.Open(spool.Options.Directory);
        var batch = new HistoryBatch(reader.Objects, reader.Proc);
        while (reader.Read(batch, 1000))
        {
        }

        Assert.Equal(spool.Operations, batch.OperationCount);
        var spent = reader.TakeSpent();
        spool.Stored(spent);
        await waiting.WaitAsync(TimeSpan.FromMinutes(5));
        Assert.True(spool.HasRoom);
    }

    // Goal: a file that is used again shows none of the records of its earlier uses, wherever its writer stops.
    // Method: records come and go in portions of any length; a reader that follows, and one that finds what a killed
    // writer left, see each of them once.
    [Fact]
    public void A_segment_that_is_used_again_holds_nothing_of_its_earlier_use() =>
        Gen.Select(Gen.Int[0, 120].Array[1, 12], Samples.Event.Array[1, 3].Array[0, 4]).Sample(
            (portions, groups) =>
            {
                using var folder = new Folder();
                var objects = Samples.Objects();
                using var spool = SpoolWriter.Create(Options(folder) with { Stripes = 1 }, objects);
                using var reader = SpoolReader.Open(spool.Options.Directory, objects);
                var (batch, number) = (new HistoryBatch(objects, 1), 0L);
                foreach (var portion in portions)
                {
                    var first = number + 1;
                    for (var i = 0; i < portion; i++)
                    {
                        spool.Append(new Operation { Number = ++number, Client = 7, Session = 9 });
                    }

                    foreach (var group in groups)
                    {
                        spool.AppendEvents(group);
                    }

                    while (reader.Read(batch, 50))
                    {
                    }

                    Assert.Equal(Range(first, number), Numbers(batch));
                    Assert.Equal(groups.Sum(group => group.Length), batch.Events.Count);
                    batch.Clear();
                    spool.Stored(reader.TakeSpent());
                    Assert.True(
                        Directory.GetFiles(spool.Options.Directory).Length <= 3 + spool.Options.SparesMax);
                    var left = ReadAll(spool.Options.Directory);
                    Assert.Equal(Range(number - left.OperationCount + 1, number), Numbers(left));
                }

                static IEnumerable<long> Range(long first, long last)
                {
                    for (var next = first; next <= last; next++)
                    {
                        yield return next;
                    }
                }

                static IEnumerable<long> Numbers(HistoryBatch batch) =>
                    batch.Operations.ToArray().Select(op => op.Number);
            },
            iter: 100);

    [Fact]
    public void A_spool_that_is_there_already_is_not_overwritten()
    {
        using var folder = new Folder();
        using var first = SpoolWriter.Create(Options(folder), Samples.Objects());
        var error = Assert.Throws<StorageException>(() => SpoolWriter.Create(Options(folder), Samples.Objects()));
        Assert.Contains("names-000001.spool", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_without_a_spool_gives_one_sentence()
    {
        using var folder = new Folder();
        var error = Assert.Throws<StorageException>(() => SpoolReader.Open(folder.Path));
        Assert.StartsWith("There is no spool in", error.Message, StringComparison.Ordinal);
    }
}
