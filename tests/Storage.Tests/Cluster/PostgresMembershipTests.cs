using System.Net;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Npgsql;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Fleet.Storage.Tests.Cluster;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PostgresMembershipTests(ServerFixture fixture) : IAsyncLifetime
{
    private readonly string _cluster = $"cluster-{Guid.NewGuid():N}";
    private NpgsqlDataSource _source = null!;
    private PostgresMembershipTable _table = null!;

    public async Task InitializeAsync()
    {
        if (NeedsServerAttribute.Missing is not null)
        {
            return;
        }

        var address = StoreAddress.Parse(fixture.Status.Address);
        await using var store = await ResultStores.OpenAsync(address, default);
        _source = NpgsqlDataSource.Create(address.ConnectionString!);
        _table = new PostgresMembershipTable(_source, _cluster);
        await _table.InitializeMembershipTable(true);
        await _table.InitializeMembershipTable(true);
    }

    public async Task DisposeAsync()
    {
        if (_source is not null)
        {
            await _source.DisposeAsync();
        }
    }

    private static MembershipEntry Entry(
        int generation, SiloStatus status = SiloStatus.Active, DateTime? alive = null) => new()
        {
            SiloAddress = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11111), generation),
            SiloName = $"silo-{generation}",
            HostName = "h",
            Status = status,
            ProxyPort = 30000,
            StartTime = alive ?? DateTime.UtcNow,
            IAmAliveTime = alive ?? DateTime.UtcNow,
            SuspectTimes = [Tuple.Create(
            SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 2), 3),
            new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc))],
        };

    [StoreFact]
    public async Task A_row_comes_back_as_it_was_written_with_the_version_of_the_same_moment()
    {
        var empty = await _table.ReadAll();
        Assert.Empty(empty.Members);
        Assert.True(await _table.InsertRow(Entry(1), empty.Version.Next()));
        var all = await _table.ReadAll();
        var (row, etag) = Assert.Single(all.Members);
        Assert.Equal(Entry(1).SiloAddress, row.SiloAddress);
        Assert.Equal(Entry(1).SuspectTimes, row.SuspectTimes);
        Assert.Equal(
            ("silo-1", "h", SiloStatus.Active, 30000), (row.SiloName, row.HostName, row.Status, row.ProxyPort));
        Assert.Equal(empty.Version.Version + 1, all.Version.Version);
        row.Status = SiloStatus.Dead;
        Assert.True(await _table.UpdateRow(row, etag, all.Version.Next()));
        Assert.Equal(SiloStatus.Dead, (await _table.ReadRow(row.SiloAddress)).Members.Single().Item1.Status);
        Assert.Empty((await _table.ReadRow(Entry(99).SiloAddress)).Members);
    }

    [StoreFact]
    public async Task A_lost_race_answers_false_and_changes_nothing()
    {
        var version = (await _table.ReadAll()).Version;
        Assert.True(await _table.InsertRow(Entry(1), version.Next()));
        Assert.False(await _table.InsertRow(Entry(2), version.Next())); // An old table version.
        var all = await _table.ReadAll();
        Assert.False(await _table.InsertRow(Entry(1), all.Version.Next())); // The row exists.
        Assert.False(await _table.UpdateRow(Entry(1), "77", all.Version.Next())); // An old row etag.
        Assert.False(await _table.UpdateRow(Entry(3), "1", all.Version.Next())); // No such row.
        var after = await _table.ReadAll();
        Assert.Equal(all.Version, after.Version);
        Assert.Single(after.Members);
    }

    // Goal: of many silos that join at once each succeeds in the end, and every change has a version of its own.
    [StoreFact]
    public async Task Concurrent_writers_are_serialised_by_the_version()
    {
        await Task.WhenAll(Enumerable.Range(1, 8).Select(async generation =>
        {
            while (!await _table.InsertRow(Entry(generation), (await _table.ReadAll()).Version.Next()))
            {
            }
        }));
        var all = await _table.ReadAll();
        Assert.Equal(8, all.Members.Count);
        Assert.Equal(8, all.Version.Version);
    }

    [StoreFact]
    public async Task A_heartbeat_moves_no_version_and_cleanup_takes_only_the_old_dead()
    {
        var old = DateTime.UtcNow.AddDays(-2);
        foreach (var entry in (MembershipEntry[])[Entry(1, SiloStatus.Dead, old), Entry(2, SiloStatus.Dead),
            Entry(3, SiloStatus.Active, old)])
        {
            Assert.True(await _table.InsertRow(entry, (await _table.ReadAll()).Version.Next()));
        }

        var before = await _table.ReadAll();
        var alive = Entry(2, SiloStatus.Dead, DateTime.UtcNow.AddMinutes(5));
        await _table.UpdateIAmAlive(alive);
        Assert.Equal(before.Version, (await _table.ReadAll()).Version);
        Assert.Equal(
            before.TryGet(alive.SiloAddress)!.Item2, (await _table.ReadAll()).TryGet(alive.SiloAddress)!.Item2);
        await _table.CleanupDefunctSiloEntries(DateTimeOffset.UtcNow.AddDays(-1));
        Assert.Equal([2, 3], (await _table.ReadAll()).Members.Select(m => m.Item1.SiloAddress.Generation).Order());
        var gateways = await new PostgresGatewayList(_source, _cluster, TimeSpan.FromSeconds(5)).GetGateways();
        Assert.Equal(30000, Assert.Single(gateways).Port);
        await _table.DeleteMembershipTableEntries(_cluster);
        Assert.Empty((await _table.ReadAll()).Members);
    }

    private sealed class Text : IGrainStorageSerializer
    {
        public BinaryData Serialize<T>(T? input) => BinaryData.FromObjectAsJson(input);

        public T? Deserialize<T>(BinaryData input) => input.ToObjectFromJson<T>();
    }

    public sealed class Counter
    {
        public int Count { get; set; }
    }

    [StoreFact]
    public async Task Grain_state_is_written_under_its_etag_and_the_duplicate_loses()
    {
        var storage = new PostgresGrainStorage(_source, _cluster, new Text());
        var id = GrainId.Create("counter", "one");
        var (first, duplicate) = (new GrainState<Counter>(), new GrainState<Counter>());
        await storage.ReadStateAsync("s", id, first);
        await storage.ReadStateAsync("s", id, duplicate);
        Assert.False(first.RecordExists);
        first.State!.Count = 1;
        await storage.WriteStateAsync("s", id, first);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("s", id, duplicate));
        await storage.ReadStateAsync("s", id, duplicate);
        Assert.Equal((1, true, first.ETag), (duplicate.State!.Count, duplicate.RecordExists, duplicate.ETag));
        duplicate.State.Count = 2;
        await storage.WriteStateAsync("s", id, duplicate);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("s", id, first));
        await storage.ClearStateAsync("s", id, duplicate);
        Assert.False(duplicate.RecordExists);
        await storage.ReadStateAsync("s", id, first);
        Assert.Equal((0, false), (first.State!.Count, first.RecordExists));
    }
}
