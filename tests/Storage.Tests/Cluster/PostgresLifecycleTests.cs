using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Npgsql;

namespace Fleet.Storage.Tests.Cluster;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PostgresLifecycleTests(ServerFixture fixture)
{
    private static HistoryEvent At(int obj, int gen, long seq) =>
        new() { Kind = EventKind.RefKill, At = new Position(obj, gen, seq, 1), Proc = 1 };

    private Task<IResultStore> StoreAsync() =>
        ResultStores.OpenAsync(StoreAddress.Parse(fixture.Status.Address), default);

    // Goal: once a newer incarnation has its number, nothing of the older one becomes durable, and others are not hurt.
    [StoreFact]
    public async Task A_stale_incarnation_stores_nothing_and_the_others_of_its_group_do()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("lifecycle-1"), objects, default);
        await using var old = PostgresLifecycle.Open(store, writer, "lifecycle-1", objects, 1);
        var dev = objects.Name(1);
        Assert.Equal(1, (await old.BeginAsync(dev)).Gen);
        Assert.Equal(1, (await old.BeginAsync(objects.Name(2))).Gen);
        await old.CommitAsync([At(1, 1, 1), At(1, 1, 2)]);
        Assert.Equal(2, (await old.BeginAsync(dev)).Gen);
        var stale = old.CommitAsync([At(1, 1, 3)]).AsTask();
        var others = Enumerable.Range(1, 20).Select(i => old.CommitAsync([At(2, 1, i)]).AsTask()).ToList();
        var refused = await Assert.ThrowsAsync<StaleIncarnationException>(() => stale);
        Assert.Equal((dev, 1), (refused.Name, refused.Gen));
        await Task.WhenAll(others);
        await old.CommitAsync([At(1, 2, 1)]);
        Assert.Equal((0, 23), await writer.CountAsync(1, default));
        var seen = new Collected();
        await writer.Reader.StreamAsync(seen, default);
        Assert.DoesNotContain(
            seen.Events, e => writer.Reader.Objects.Name(e.At.Obj) == dev && e.At is { Gen: 1, Seq: 3 });
    }

    // Goal: it is the database that refuses, whatever a client sends.
    [StoreFact]
    public async Task Plain_sql_of_a_stale_incarnation_is_refused_by_the_database()
    {
        await using var store = await StoreAsync();
        var source = StoreAddress.Parse(
            fixture.Status.Address.Replace("fleet_owner", "fleet_writer", StringComparison.Ordinal));
        await using var sql = NpgsqlDataSource.Create(source.ConnectionString!);
        await ExecuteAsync("SELECT * FROM next_incarnations('plain', ARRAY['dev:x'])");
        await ExecuteAsync("INSERT INTO transitions VALUES ('plain', 'dev:x', 1, 1)");
        await ExecuteAsync("SELECT * FROM next_incarnations('plain', ARRAY['dev:x'])");
        Assert.Equal("FL001", (await Assert.ThrowsAsync<PostgresException>(
            () => ExecuteAsync("INSERT INTO transitions VALUES ('plain', 'dev:x', 1, 2)"))).SqlState);
        await ExecuteAsync("INSERT INTO transitions VALUES ('plain', 'dev:x', 2, 1)");
        Assert.Equal("FL001", (await Assert.ThrowsAsync<PostgresException>(
            () => ExecuteAsync("INSERT INTO transitions VALUES ('plain', 'dev:x', 2, 1)"))).SqlState);
        foreach (var way in (string[])
            ["UPDATE incarnations SET gen = 1", "DELETE FROM incarnations", "UPDATE transitions SET seq = 9",
                "INSERT INTO incarnations VALUES ('plain', 'y', 1, 0)"])
        {
            var refused = await Assert.ThrowsAsync<PostgresException>(() => ExecuteAsync(way));
            Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, refused.SqlState);
        }

        async Task ExecuteAsync(string text)
        {
            await using var command = sql.CreateCommand(text);
            await command.ExecuteNonQueryAsync();
        }
    }

    // Goal: every activation gets a number of its own, whoever asks at the same time.
    [StoreFact]
    public async Task Many_askers_at_once_get_different_numbers()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("lifecycle-2"), objects, default);
        await using var one = PostgresLifecycle.Open(store, writer, "lifecycle-2", objects, 1);
        await using var two = PostgresLifecycle.Open(store, writer, "lifecycle-2", objects, 2);
        var numbers = await Task.WhenAll(
            Enumerable.Range(0, 200).Select(i => (i % 2 == 0 ? one : two).BeginAsync("dev:one").AsTask()));
        Assert.Equal(Enumerable.Range(1, 200), numbers.Select(tenure => tenure.Gen).Order());
    }

    // Goal: a process that could not ask for longer than its term lives on, and is told of what was taken meanwhile
    // before it serves again.
    [StoreFact]
    public async Task A_process_whose_term_ran_out_is_told_what_was_taken_from_it()
    {
        await using var store = await StoreAsync();
        await using var sql = NpgsqlDataSource.Create(
            StoreAddress.Parse(fixture.Status.Address).ConnectionString!);
        await RowsAsync("SELECT id, name, gen FROM fleet.renew_serving_term('late', 1, 0, 0)");
        Assert.Equal([["dev:x", 1, 0d]], await BegunAsync(1));
        Assert.Equal([["dev:x", 2, 0d]], await BegunAsync(2));
        Assert.Equal(
            [["dev:x", 2]], await RowsAsync("SELECT name, gen FROM fleet.renew_serving_term('late', 1, 3000, 0)"));

        Task<List<object[]>> BegunAsync(int proc) => RowsAsync(
            "SELECT name, gen, wait_ms FROM fleet.begin_incarnations('late', "
            + $"{proc}, ARRAY['dev:x'], ARRAY[NULL::text])");

        async Task<List<object[]>> RowsAsync(string text)
        {
            await using var command = sql.CreateCommand(text);
            await using var rows = await command.ExecuteReaderAsync();
            var read = new List<object[]>();
            while (await rows.ReadAsync())
            {
                var row = new object[rows.FieldCount];
                rows.GetValues(row);
                read.Add(row);
            }

            return read;
        }
    }

    // Goal: a process that leaves costs nobody the rest of its term, and cannot answer or begin anything in it.
    [StoreFact]
    public async Task Nobody_waits_for_a_process_that_resigned_and_it_serves_nothing()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("lifecycle-5"), objects, default);
        await using var leaving = PostgresLifecycle.Open(store, writer, "lifecycle-5", objects, 1);
        var tenure = await leaving.BeginAsync("dev:x");
        await leaving.ResignAsync();

        Assert.False(tenure.Serves);
        await Assert.ThrowsAsync<StaleIncarnationException>(() => leaving.BeginAsync("dev:x").AsTask());
        await using var sql = NpgsqlDataSource.Create(StoreAddress.Parse(fixture.Status.Address).ConnectionString!);
        await using var begin = sql.CreateCommand(
            "SELECT wait_ms FROM fleet.begin_incarnations('lifecycle-5', 2, ARRAY['dev:x'], ARRAY[NULL::text])");
        Assert.Equal(0d, await begin.ExecuteScalarAsync());
    }

    // Goal: what is kept with an object is changed by its newest incarnation alone.
    [StoreFact]
    public async Task A_plan_is_kept_by_the_newest_incarnation_alone()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("lifecycle-3"), objects, default);
        await using var one = PostgresLifecycle.Open(store, writer, "lifecycle-3", objects, 1);
        await using var two = PostgresLifecycle.Open(store, writer, "lifecycle-3", objects, 2);
        var before = await one.BeginAsync("session:one", "open");
        Assert.True(await one.TryKeepAsync("session:one", before.Gen, "renewed"));
        var after = await two.BeginAsync("session:one");
        Assert.False(await one.TryKeepAsync("session:one", before.Gen, "over"));
        Assert.Equal((2, "renewed"), (after.Gen, (await two.KnownAsync("session:one")).Plan));
        Assert.True(await two.TryKeepAsync("session:one", after.Gen, "over"));
        Assert.Equal("over", (await one.KnownAsync("session:one")).Plan);
    }

    // Goal: a history that was closed gets nothing more, so that it can be counted.
    [StoreFact]
    public async Task A_sealed_process_stores_what_was_under_way_and_nothing_more()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("lifecycle-4"), objects, default);
        await using var one = PostgresLifecycle.Open(store, writer, "lifecycle-4", objects, 1);
        Assert.Equal(1, (await one.BeginAsync(objects.Name(1))).Gen);
        var underWay = one.CommitAsync([At(1, 1, 1)]).AsTask();
        await one.SealAsync();
        await underWay;
        await Assert.ThrowsAsync<StaleIncarnationException>(() => one.CommitAsync([At(1, 1, 2)]).AsTask());
        Assert.Equal((1L, (0L, 1L)), (one.Events, await writer.CountAsync(1, default)));
    }
}
