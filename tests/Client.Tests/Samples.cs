namespace Fleet.Client.Tests;

/// <summary>The samples of the documentation.</summary>
internal static class Samples
{
    public static string Path(string name) => RepositoryFolder.In("docs", "samples", name);
}
