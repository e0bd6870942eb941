namespace Fleet.Client.Tests;

/// <summary>Finds files of the repository from wherever the tests were built.</summary>
internal static class Samples
{
    public static string Root { get; } = FindRoot();

    public static string Path(string name) => System.IO.Path.Combine(Root, "docs", "samples", name);

    private static string FindRoot()
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(at.FullName, "Fleet.sln")))
                return at.FullName;
        }

        throw new DirectoryNotFoundException("Fleet.sln is in no directory above the tests.");
    }
}
