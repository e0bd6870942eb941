using DuckDB.NET.Data;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

[Trait("tier", "fast")]
public sealed class DuckResultStoreTests : StoreContract, IDisposable
{
    private readonly Folder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_file_is_a_part_until_it_is_sealed()
    {
        await using var store = await StoreAsync();
        await using var writer = await store.CreateRunAsync(new RunInfo("a"), new ObjectTable(), default);
        Assert.True(File.Exists(_folder.In("a.duckdb.part")));
        Assert.Equal(_folder.In("a.duckdb"), await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default));
        Assert.Equal([_folder.In("a.duckdb")], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task A_file_that_is_no_result_gives_one_sentence()
    {
        await using var store = await StoreAsync();
        await File.WriteAllTextAsync(_folder.In("a.duckdb"), "hello");
        var error = await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync("a", default));
        Assert.Equal($"The file {_folder.In("a.duckdb")} is no result of Fleet that can be read.", error.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("../a")]
    [InlineData("a b")]
    [InlineData(".a")]
    public async Task A_name_that_could_leave_the_directory_is_refused(string name)
    {
        await using var store = await StoreAsync();
        await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync(name, default));
    }

    // Goal: what an operation says survives in whichever table it lies, also in a run that an earlier version began.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Operations_come_back_as_they_were_from_the_narrow_and_from_the_wide_table(bool hasOneTable)
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using (var writer = await store.CreateRunAsync(new RunInfo("a"), objects, default))
        {
            writer.Keep();
        }

        if (hasOneTable)
        {
            await using var file = new DuckDBConnection($"Data Source={_folder.In("a.duckdb.part")}");
            await file.OpenAsync();
            await using var command = file.CreateCommand();
            command.CommandText = "DROP VIEW operations; DROP TABLE operations_narrow; "
                + "ALTER TABLE operations_wide RENAME TO operations";
            await command.ExecuteNonQueryAsync();
        }

        var batch = new HistoryBatch(objects, 1);
        var (device, map) = (objects.Find("dev:h/0000:01:00.0"), objects.Find("map:h/0000:01:00.0/bar4"));
        for (var n = 1; n <= 300; n += 3)
        {
            var alloc = new AllocId(device, 1, n);
            var given = new Operation
            {
                Number = n,
                Kind = OperationKind.Alloc,
                Outcome = OperationOutcome.Ok,
                Client = objects.Find("client:a"),
                Session = objects.Find("session:s"),
                Device = device,
                IntendedNs = 1000 * n,
                SentNs = (1000 * n) + (n % 2 * 50),
                DoneNs = (1000 * n) + 90,
                At = new(device, 1, n, 1),
                Alloc = alloc,
                Address = 0x40_0000_0000,
                SizeBytes = 4096,
                Owner = objects.Find("ref:h/0000:01:00.0/bar4"),
            };
            batch.Add(given);
            batch.Add(given with
            {
                Number = n + 1,
                Kind = OperationKind.Access,
                At = new(map, 1, n, 1),
                Address = 0,
                SizeBytes = 0,
                Owner = 0,
                Map = map,
                Pfn = 0x40_0000,
                PageCount = 1,
                Tag = ulong.MaxValue - (ulong)n,
            });

            // An address within a page, and a life of 0, stand in the wide table alone.
            batch.Add(n % 9 is 1 or 4
                ? given with { Number = n + 2, At = new(device, 1, n + 1, n % 9), Err = Errno.ENOMEM, Address = 77 }
                : given with
                {
                    Number = n + 2,
                    Kind = OperationKind.Free,
                    At = new(device, 1, n + 1, n % 4),
                    Err = (Errno)(n % 2),
                    PageCount = n % 3,
                });
        }

        await using (var writer = await store.ResumeRunAsync("a", default))
        {
            await writer.AddProcessAsync(new ProcessInfo(1, "embedded", "monotonic:x", "h", 42), default);
            await writer.AppendAsync(batch, default);
            Assert.Equal((batch.OperationCount, 0), await writer.CountAsync(1, default));
            Assert.Equal([301], await writer.NumbersMissingAsync([(1, 301)], default));
            await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default);
        }

        await using var reader = await store.OpenRunAsync("a", default);
        var read = new Collected();
        await reader.StreamAsync(read, default);
        Assert.Equal(batch.Operations.ToArray(), read.Operations.OrderBy(o => o.Number));
        Assert.Equal(batch.OperationCount, reader.Run.Operations);
        if (!hasOneTable)
        {
            var split = await reader.QueryAsync(
                "SELECT (SELECT count(*) FROM operations_narrow), (SELECT count(*) FROM operations_wide)",
                new SqlLimits(TimeSpan.FromMinutes(10), 10), default);
            Assert.Equal(["225", "75"], split.Rows[0].Select(value => $"{value}"));
        }
    }

    // Goal: of a large batch one table gets a whole row group, since less goes through the log and is stored twice.
    [Theory]
    [InlineData(8_000, 123_072, 8_000)]
    [InlineData(9_000, 0, 131_072)]
    public async Task A_large_batch_with_many_wide_operations_is_not_split(int wide, int inNarrow, int inWide)
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("a"), objects, default);
        var batch = new HistoryBatch(objects, 1);
        for (var n = 1; n <= 131_072; n++)
        {
            batch.Add(new()
            {
                Number = n,
                Client = objects.Find("client:a"),
                Session = objects.Find("session:s"),
                Address = n <= wide ? 77UL : 0,
            });
        }

        await writer.AppendAsync(batch, default);
        await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default);
        await using var reader = await store.OpenRunAsync("a", default);
        var split = await reader.QueryAsync(
            "SELECT (SELECT count(*) FROM operations_narrow), (SELECT count(*) FROM operations_wide)",
            new SqlLimits(TimeSpan.FromMinutes(10), 10), default);
        Assert.Equal([$"{inNarrow}", $"{inWide}"], split.Rows[0].Select(value => $"{value}"));
    }

    protected override Task<IResultStore> StoreAsync() =>
        ResultStores.OpenAsync(StoreAddress.Parse(_folder.Path), default);
}
