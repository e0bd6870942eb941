namespace Fleet.Kernel.Tests.Vectors;

/// <summary>The folder of recordings: <c>shared/vectors</c> beside a folder above the tests, where it exists.</summary>
internal static class VectorFolder
{
    public static DirectoryInfo? Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var vectors = new DirectoryInfo(Path.Combine(folder.FullName, "shared", "vectors"));
            if (vectors.Exists)
            {
                return vectors;
            }
        }

        return null;
    }
}
