using System.Diagnostics;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Runs;

// Goal: as with silos of its own, a run goes on whose database died with its generator, or whose silos are somebody
// else's and stay.
// Method: real processes, a server of our own; kill -9 within the load; the same run gone on with by fleet resume.
[Trait("tier", "cluster")]
public sealed class ResumedElsewhereTests(PrivateDatabase database)
    : ResumedRun(database), IClassFixture<PrivateDatabase>
{
    [ServerFact]
    public async Task The_database_is_killed_and_then_the_generator()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        using (var server = Process.GetProcessById(Database.ServerPid()))
        {
            server.Kill();
            await server.WaitForExitAsync();
        }

        await process.KillAsync();
        await PrivateDatabase.InvokeAsync(ExitCode.Valid, "db", "up", "--directory", Database.Folder);

        await IsWholeAsync(run);
    }

    // The silos are somebody else's and stay; the first of two generators is lost, and the other one waits for it.
    [ServerFact]
    public async Task The_first_of_two_generators_of_a_cluster_is_killed_and_gone_on_with()
    {
        const string Cluster = "somebody-elses";
        var store = StoreAddress.Parse(Database.Store).Unredacted;
        await using var first = SiloProcess.Start(Cluster, store, "silo-a", static _ => { });
        await using var second = SiloProcess.Start(Cluster, store, "silo-b", static _ => { });
        await using var process = Begin("--cluster", Cluster, "--silos", "2", "--generators", "2");
        var run = await process.AwaitNameAsync();
        await using var other = FleetProcess.Start("run", "--join", run, "--store", Database.Store, "--json");
        await process.AwaitOperationsAsync(300);
        await process.KillAsync();

        await IsWholeAsync(run);

        Assert.Equal(run, (await other.EndAsync(ExitCode.Valid)).GetProperty("run").GetString());
    }
}
