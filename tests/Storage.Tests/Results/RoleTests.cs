using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

// Goal: who may do what is the database's decision, and a person is told in one sentence.
[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class RoleTests(ServerFixture fixture)
{
    private Task<IResultStore> StoreOfAsync(string role) => ResultStores.OpenAsync(
        StoreAddress.Parse(fixture.Status.Address.Replace("fleet_owner", role, StringComparison.Ordinal)), default);

    [StoreFact]
    public async Task A_writer_makes_fills_seals_and_drops_a_run_and_an_analyst_only_reads_it()
    {
        await using var owner = await StoreOfAsync("fleet_owner"); // Brings the schema up to date.
        await using var writing = await StoreOfAsync("fleet_writer");
        await using var reading = await StoreOfAsync("fleet_analyst");
        var objects = Samples.Objects();
        await using (var writer = await writing.CreateRunAsync(new RunInfo("roles"), objects, default))
        {
            Assert.Equal(1, await writer.JoinAsync("p", "c", "h", 1, default));
            Assert.Equal(2, await writer.JoinAsync("p", "c", "h", 1, default));
            var batch = new HistoryBatch(objects, 1);
            batch.Add(new Operation { Number = 1, Client = 7, Session = 9, Outcome = OperationOutcome.Ok });
            await writer.AppendAsync(batch, default);
            await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default);
        }

        await using (var reader = await reading.OpenRunAsync("roles", default))
        {
            var counted = await reader.QueryAsync(
                "SELECT count(*) FROM v_operations", SqlLimits.Default, default);
            Assert.Equal(1L, counted.Rows[0][0]);
        }

        var made = await Assert.ThrowsAsync<StorageException>(
            () => reading.CreateRunAsync(new RunInfo("roles-2"), objects, default));
        Assert.EndsWith("a member of fleet_writer makes runs.", made.Message, StringComparison.Ordinal);
        var dropped = await Assert.ThrowsAsync<StorageException>(() => reading.DropRunAsync("roles", default));
        Assert.EndsWith("a member of fleet_writer removes runs.", dropped.Message, StringComparison.Ordinal);
        await writing.DropRunAsync("roles", default);
        Assert.DoesNotContain(await writing.ListRunsAsync(default), run => run.Info.Run == "roles");
    }
}
