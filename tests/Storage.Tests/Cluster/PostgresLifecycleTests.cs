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
}
