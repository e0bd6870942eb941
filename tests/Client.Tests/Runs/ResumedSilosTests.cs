namespace Fleet.Client.Tests.Runs;

// Goal: whatever is killed with the generator of a run (its silos go with it, one of them died before, the database
// did), the run goes on where it stopped and ends as one that nobody disturbed.
// Method: real processes, a server of our own; kill -9 within the load; the same run gone on with by fleet resume.
[Trait("tier", "cluster")]
public sealed class ResumedSilosTests(PrivateDatabase database) : ResumedRun(database), IClassFixture<PrivateDatabase>
{
    [ServerFact]
    public async Task A_run_whose_silos_went_with_its_generator_goes_on()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        await process.KillAsync();

        await IsWholeAsync(run);
    }

    [ServerFact]
    public async Task A_silo_is_killed_and_then_the_generator()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        process.Children("Fleet.Silo.dll")[0].Kill();
        await process.KillAsync();

        await IsWholeAsync(run);
    }
}
